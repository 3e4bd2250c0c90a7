#include "html_text.h"

#include <stdbool.h>
#include <stdint.h>

static bool follows(const uint8_t *at, int count)
{
    for (int i = 1; i <= count; i++)
        if ((at[i] & 0xC0) != 0x80) /* the ending zero is none either */
            return false;
    return true;
}

/* Bytes of the character at `at` (RFC 3629, section 4), 0 for none. */
static int character_bytes(const uint8_t *at)
{
    if (at[0] < 0x80)
        return 1;
    if (at[0] >= 0xC2 && at[0] <= 0xDF)
        return follows(at, 1) ? 2 : 0;
    if (at[0] >= 0xE0 && at[0] <= 0xEF) {
        const bool shortest = at[0] != 0xE0 || at[1] >= 0xA0, whole = at[0] != 0xED || at[1] <= 0x9F;
        return shortest && whole && follows(at, 2) ? 3 : 0;
    }
    if (at[0] >= 0xF0 && at[0] <= 0xF4) {
        const bool shortest = at[0] != 0xF0 || at[1] >= 0x90, legal = at[0] != 0xF4 || at[1] <= 0x8F;
        return shortest && legal && follows(at, 3) ? 4 : 0;
    }
    return 0;
}

static const char *entity(uint8_t character)
{
    switch (character) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return character < 0x20 || character == 0x7F ? " " : NULL;
    }
}

void covey_html_text(FILE *out, const char *text)
{
    for (const uint8_t *at = (const uint8_t *)text; *at != '\0';) {
        const int bytes = character_bytes(at);
        const char *escaped = bytes == 1 ? entity(*at) : bytes == 0 ? "\xEF\xBF\xBD" : NULL;
        if (escaped != NULL)
            (void)fputs(escaped, out);
        else
            (void)fwrite(at, 1, (size_t)bytes, out);
        at += bytes > 0 ? bytes : 1;
    }
}
