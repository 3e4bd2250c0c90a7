#include "covey/status.h"

#include <stdio.h>
#include <string.h>

const char *covey_status_text(enum covey_status status)
{
    static const char *const texts[] = {
#define COVEY_STATUS_TEXT(name, text) text,
        COVEY_STATUS_LIST(COVEY_STATUS_TEXT)
#undef COVEY_STATUS_TEXT
    };
    const size_t count = sizeof texts / sizeof texts[0];
    return (size_t)status < count ? texts[status] : "unknown status";
}

enum covey_status covey_fail(struct covey_error *err, enum covey_status status, const char *format, ...)
{
    if (err == NULL)
        return status;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    err->status = status;
    return status;
}

enum covey_status covey_fail_at(struct covey_error *err, enum covey_status status, const char *format, ...)
{
    if (err == NULL)
        return status;
    char before[COVEY_ERROR_TEXT_BYTES];
    memcpy(before, err->text, sizeof before);
    va_list args;
    va_start(args, format);
    int written = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (written >= 0 && (size_t)written < sizeof err->text)
        (void)snprintf(err->text + written, sizeof err->text - (size_t)written, "%s",
                       before[0] != '\0' ? before : covey_status_text(status));
    err->status = status;
    return status;
}
