#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/redact.h"

enum { WHOLE_MAX = 4096 };

bool err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
    struct arena *a = arena_create();
    char whole[WHOLE_MAX];
    size_t len;
    va_list ap;

    e->kind = kind;
    e->wait_s = 0;
    va_start(ap, fmt);
    vsnprintf(whole, sizeof whole, fmt, ap);
    va_end(ap);
    /* before it is cut: half a secret would not be seen */
    snprintf(e->text, sizeof e->text, "%s", redact(a, whole, strlen(whole), &len));
    arena_destroy(a);
    return false;
}

struct err_name err_name(const char *given)
{
    struct arena *a = arena_create();
    struct err_name name;
    size_t len;

    snprintf(name.text, sizeof name.text, "%s", redact(a, given, strlen(given), &len));
    arena_destroy(a);
    return name;
}
