#include "fcgi/lessons/generator/llm/url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define OLLAMA_PORT "11434"

enum { PORT_MAX = 65535 };

/* What stands behind "http://" or "https://"; NULL if neither does. */
static const char *after_scheme(const char *url)
{
    if (strncasecmp(url, "http://", 7) == 0)
        return url + 7;
    return strncasecmp(url, "https://", 8) == 0 ? url + 8 : NULL;
}

/* Where the port begins, with its colon; NULL without one. An IPv6 address has its own colons. */
static const char *find_port(const char *authority, size_t len)
{
    const char *bracket = memchr(authority, ']', len);
    size_t skip = bracket ? (size_t)(bracket - authority) : 0;

    return memchr(authority + skip, ':', len - skip);
}

static bool port_valid(const char *port, size_t len)
{
    long number =
        len > 0 && len <= 5 && strspn(port, "0123456789") >= len ? strtol(port, NULL, 10) : 0;

    return number > 0 && number <= PORT_MAX;
}

/* A host, in brackets if it is an IPv6 address, and perhaps a port. */
static bool authority_valid(const char *s, size_t len)
{
    const char *port = find_port(s, len);
    size_t host = port ? (size_t)(port - s) : len;

    if (port != NULL && !port_valid(port + 1, len - host - 1))
        return false;
    if (*s == '[')
        return host > 2 && s[host - 1] == ']' &&
               strspn(s + 1, "0123456789abcdefABCDEF:.") == host - 2;
    for (size_t i = 0; i < host; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '-' && s[i] != '.' && s[i] != '_')
            return false;
    return host > 0;
}

static bool path_valid(const char *s)
{
    for (; *s; s++)
        if (!isgraph((unsigned char)*s) || strchr("?#\\\"<>", *s) != NULL)
            return false;
    return true;
}

const char *url_base(struct arena *a, const char *setting, const char *value, struct err *e)
{
    const char *rest = after_scheme(value);
    size_t len = strlen(value), authority;

    if (rest == NULL) {
        err_set(e, ERR_INPUT, "%s: URL expected, beginning with http:// or https://", setting);
        return NULL;
    }
    authority = strcspn(rest, "/");
    if (!authority_valid(rest, authority) || !path_valid(rest + authority)) {
        err_set(e, ERR_INPUT, "%s: URL of a host and perhaps a port and a path expected", setting);
        return NULL;
    }
    while (value[len - 1] == '/')
        len--;
    return arena_memdup(a, value, len);
}

/* The host to connect to, of one to listen on. */
static const char *reachable(struct arena *a, const char *host, size_t len)
{
    if (len == 0 || (len == 7 && memcmp(host, "0.0.0.0", len) == 0))
        return "127.0.0.1";
    if ((len == 2 && memcmp(host, "::", len) == 0) || (len == 4 && memcmp(host, "[::]", len) == 0))
        return "[::1]";
    if (*host != '[' && memchr(host, ':', len) != NULL)
        return arena_printf(a, "[%.*s]", (int)len, host); /* a bare IPv6 address */
    return arena_memdup(a, host, len);
}

const char *url_ollama(struct arena *a, const char *setting, const char *value, struct err *e)
{
    const char *rest = after_scheme(value), *host = rest ? rest : value, *port;
    size_t len = strcspn(host, "/"), host_len;
    bool bare = *host != '[' && memchr(host, ':', len) != memrchr(host, ':', len);

    port = bare ? NULL : find_port(host, len);
    host_len = port ? (size_t)(port - host) : len;
    value = arena_printf(a, "%.*s%s%s%.*s%s", rest ? (int)(rest - value) : 0, value,
                         rest ? "" : "http://", reachable(a, host, host_len), (int)(len - host_len),
                         port ? port : "", rest || port ? "" : ":" OLLAMA_PORT);
    return url_base(a, setting, arena_printf(a, "%s%s", value, host + len), e);
}

bool url_is_address(const char *url)
{
    const char *host = after_scheme(url);

    if (host == NULL)
        return false;
    return *host == '[' || strspn(host, "0123456789.") == strcspn(host, ":/");
}
