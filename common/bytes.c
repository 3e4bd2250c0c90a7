#include "covey/bytes.h"

void covey_hex_write(const void *bytes, size_t count, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = bytes;
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * count] = '\0';
}

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

int covey_hex_read(const char *text, void *bytes, size_t count)
{
    uint8_t *out = bytes;
    /* Checked before anything is written: the zero at the end stops the walk over a short text. */
    for (size_t i = 0; i < 2 * count; i++)
        if (digit_value(text[i]) < 0)
            return -1;
    if (text[2 * count] != '\0')
        return -1;
    for (size_t i = 0; i < count; i++)
        out[i] = (uint8_t)(digit_value(text[2 * i]) << 4 | digit_value(text[2 * i + 1]));
    return 0;
}
