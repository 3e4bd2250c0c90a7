/* Outside text in HTML and SVG: names come from files. */
#ifndef COVEY_HTML_TEXT_H
#define COVEY_HTML_TEXT_H

#include <stdio.h>

/* Good within an element and within a quoted attribute: & < > " ' are escaped, control characters become
 * blanks, what is not UTF-8 becomes U+FFFD. */
void covey_html_text(FILE *out, const char *text);

#endif
