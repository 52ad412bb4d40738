#include <string.h>

#include "common/utf8.h"
#include "tests/fuzz/lib/fuzz.h"

struct fuzz_part fuzz_until(struct fuzz_part *rest, const char *by)
{
    struct fuzz_part part = *rest;
    const char *end = part.len ? memmem(part.data, part.len, by, strlen(by)) : NULL;

    if (end == NULL) {
        rest->data += rest->len;
        rest->len = 0;
        return part;
    }
    part.len = (size_t)(end - part.data);
    rest->data = end + strlen(by);
    rest->len -= part.len + strlen(by);
    return part;
}

bool fuzz_line(struct fuzz_part *rest, struct fuzz_part *line)
{
    if (rest->len == 0)
        return false;
    *line = fuzz_until(rest, "\n");
    return true;
}

bool fuzz_storable(const char *s, size_t len)
{
    return utf8_valid(s, len) && (len == 0 || memchr(s, '\0', len) == NULL);
}

bool fuzz_contains(const char *s, size_t len, const char *part)
{
    return len > 0 && memmem(s, len, part, strlen(part)) != NULL;
}
