/* Which names may stand in certificates, and which DNS names match. */
#include "covey/certificates.h"

#include <string.h>
#include <strings.h>

static bool is_name_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool covey_device_name_is_valid(const char *name)
{
    if (name == NULL || name[0] == '\0' || name[0] == '.' || name[0] == '-')
        return false;
    size_t length = 0;
    while (length < COVEY_NAME_BYTES && name[length] != '\0') {
        if (!is_name_char(name[length]))
            return false;
        length++;
    }
    return length < COVEY_NAME_BYTES;
}

/* A wildcard stands for one whole leftmost label, and only above two labels more: never "*.com" or "*" (RFC
 * 6125 section 6.4.3 allows to be stricter, and so do we). */
bool covey_dns_name_matches(const char *pattern, const char *name)
{
    if (pattern[0] == '\0' || name[0] == '\0')
        return false;
    if (strcasecmp(pattern, name) == 0)
        return strchr(pattern, '*') == NULL;
    if (strncmp(pattern, "*.", 2) != 0 || strchr(pattern + 2, '*') != NULL ||
        strchr(pattern + 2, '.') == NULL || strstr(pattern, "..") != NULL)
        return false;
    const char *rest = strchr(name, '.');
    return rest != NULL && rest != name && strcasecmp(rest, pattern + 1) == 0;
}
