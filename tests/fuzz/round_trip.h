/* What the message targets do: decode; what was taken is written, read again, and written the same. An abort
 * is a find. */
#ifndef COVEY_FUZZ_ROUND_TRIP_H
#define COVEY_FUZZ_ROUND_TRIP_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "covey/messages.h"

#define DEFINE_ROUND_TRIP(type, decode, encode)                                                              \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);                                            \
    static type first_value, second_value;                                                                   \
    static uint8_t first_bytes[1 << 17], second_bytes[1 << 17];                                              \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)                                             \
    {                                                                                                        \
        struct covey_error err = {0};                                                                        \
        size_t first_size = 0, second_size = 0;                                                              \
        if (decode((struct covey_bytes){data, size}, &first_value, &err) != COVEY_OK) {                      \
            if (err.text[0] == '\0' || err.status == COVEY_OK)                                               \
                abort();                                                                                     \
            return 0;                                                                                        \
        }                                                                                                    \
        if (encode(&first_value, first_bytes, sizeof first_bytes, &first_size) != COVEY_OK ||                \
            decode((struct covey_bytes){first_bytes, first_size}, &second_value, &err) != COVEY_OK ||        \
            encode(&second_value, second_bytes, sizeof second_bytes, &second_size) != COVEY_OK ||            \
            first_size != second_size || memcmp(first_bytes, second_bytes, first_size) != 0)                 \
            abort();                                                                                         \
        return 0;                                                                                            \
    }

#endif
