/*
 * A bug in the code of one job: preloaded, it aborts the process that is about to send a request
 * with the word "poison" in it, or to read an answer to the tag "tag-venom-".
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { POSTFIELDS = 10015 };

int curl_easy_setopt(void *easy, int option, ...)
{
    int (*next)(void *, int, ...);
    va_list args;
    void *value;

    va_start(args, option);
    value = va_arg(args, void *);
    va_end(args);
    if (option == POSTFIELDS && strstr(value, "poison") != NULL)
        abort();
    *(void **)&next = dlsym(RTLD_NEXT, "curl_easy_setopt");
    return next(easy, option, value);
}

void *json_tokener_parse_ex(void *tokener, const char *text, int len)
{
    void *(*next)(void *, const char *, int);

    if (len > 0 && memmem(text, (size_t)len, "## tag-venom-", strlen("## tag-venom-")) != NULL)
        abort();
    *(void **)&next = dlsym(RTLD_NEXT, "json_tokener_parse_ex");
    return next(tokener, text, len);
}
