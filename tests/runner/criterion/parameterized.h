/* Included by some tests beside criterion.h; nothing of it is used. */
#include "criterion.h"
