#include "common/json.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

enum {
    CLIENT_DEPTH = 32,
    CLIENT_MEMBERS = 100,
    DEPTH = 64,
    FILE_MAX_BYTES = 4 << 20,
    ESCAPE_BYTES = 6, /* \uXXXX */
};

static void put(void *tree)
{
    json_object_put(tree);
}

static struct json_object *parse(struct arena *a, const char *text, size_t len, int depth,
                                 int flags, struct err *e)
{
    struct json_tokener *tok = json_tokener_new_ex(depth);
    struct json_object *tree;
    enum json_tokener_error rc;
    size_t end;

    if (tok == NULL)
        abort();
    json_tokener_set_flags(tok, flags);
    while (len > 0 && text[len - 1] != '\0' && strchr(" \t\r\n", text[len - 1]) != NULL)
        len--;
    tree = json_tokener_parse_ex(tok, text, (int)len);
    rc = json_tokener_get_error(tok);
    end = json_tokener_get_parse_end(tok);
    json_tokener_free(tok);
    if (tree != NULL)
        arena_defer(a, put, tree);
    if (rc != json_tokener_success || end < len || tree == NULL) {
        err_set(e, ERR_INPUT, "json: %s at byte %zu",
                rc == json_tokener_success    ? "nothing but one value expected"
                : rc == json_tokener_continue ? "it ends too early"
                                              : json_tokener_error_desc(rc),
                end < len ? end : len);
        return NULL;
    }
    return tree;
}

static size_t digits(const char *s, size_t len, size_t i)
{
    size_t n = 0;

    while (i + n < len && isdigit((unsigned char)s[i + n]))
        n++;
    return n;
}

/* The length of the number at s as RFC 8259 has it, else 0: json-c also takes 01, 1. and -.5. */
static size_t number(const char *s, size_t len)
{
    size_t i = len > 0 && s[0] == '-', n = digits(s, len, i);

    if (n == 0 || (n > 1 && s[i] == '0'))
        return 0;
    i += n;
    if (i < len && s[i] == '.') {
        if ((n = digits(s, len, i + 1)) == 0)
            return 0;
        i += 1 + n;
    }
    if (i < len && (s[i] == 'e' || s[i] == 'E')) {
        i++;
        if (i < len && (s[i] == '+' || s[i] == '-'))
            i++;
        if ((n = digits(s, len, i)) == 0)
            return 0;
        i += n;
    }
    return i < len && strchr(" \t\r\n,]}", s[i]) == NULL ? 0 : i;
}

/* The value of "\uXXXX" at s; -1 if it is something else. */
static long escape_value(const char *s, size_t len)
{
    char hex[5] = "";
    char *end;
    long value;

    if (len < 6 || s[0] != '\\' || s[1] != 'u')
        return -1;
    memcpy(hex, s + 2, 4);
    value = strtol(hex, &end, 16);
    return end == hex + 4 ? value : -1;
}

static bool is_surrogate_pair(const char *s, size_t len)
{
    long high = escape_value(s, len), low = len > 6 ? escape_value(s + 6, len - 6) : -1;

    return high >= 0xD800 && high <= 0xDBFF && low >= 0xDC00 && low <= 0xDFFF;
}

/* An escape is a character of its own, or the first half of a pair. */
static bool check_escape(const char *s, size_t len)
{
    long value = escape_value(s, len);

    return value < 0xD800 || value > 0xDFFF || is_surrogate_pair(s, len);
}

/* The end of the string that begins at i: its second quotation mark. */
static size_t string_end(const char *text, size_t len, size_t i)
{
    for (i++; i < len && text[i] != '"'; i++)
        i += text[i] == '\\';
    return i;
}

/* The outermost member that is there twice, for a message; the text is JSON. */
static const char *twice(struct arena *a, const char *text, size_t len)
{
    struct json_object *seen = json_object_new_object();
    size_t begin = 0, end = 0;
    int depth = 0;

    arena_defer(a, put, seen);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"') {
            begin = i;
            i = end = string_end(text, len, i);
        } else if (strchr("{[", text[i]) != NULL) {
            depth++;
        } else if (strchr("]}", text[i]) != NULL) {
            depth--;
        } else if (text[i] == ':' && depth == 1) {
            struct err unused;
            struct json_object *name =
                parse(a, text + begin, end + 1 - begin, CLIENT_DEPTH, 0, &unused);

            if (json_object_object_get_ex(seen, json_object_get_string(name), NULL))
                return json_object_get_string_len(name) > 0 ? json_object_get_string(name) : "\"\"";
            json_object_object_add(seen, json_object_get_string(name), NULL);
        }
    }
    return "";
}

/* What json-c lets pass although RFC 8259 or we do not; counts the outermost object's members. */
static bool scan(const char *text, size_t len, int *members, struct err *e)
{
    bool in_string = false;
    int depth = 0;

    *members = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (in_string) {
            if (c < 0x20)
                return err_set(e, ERR_INPUT, "json: raw control character at byte %zu", i);
            if (c == '\\' && len - i > 5 && memcmp(text + i, "\\u0000", 6) == 0)
                return err_set(e, ERR_INPUT, "json: \\u0000 at byte %zu", i);
            if (c == '\\' && !check_escape(text + i, len - i))
                return err_set(e, ERR_INPUT, "json: half a surrogate pair at byte %zu", i);
            if (c == '\\')
                i += is_surrogate_pair(text + i, len - i) ? 7 : 1;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == ':') {
            *members += depth == 1;
        } else if (c == '-' || isdigit(c)) {
            size_t n = number(text + i, len - i);

            if (n == 0)
                return err_set(e, ERR_INPUT, "json: number expected at byte %zu", i);
            i += n - 1;
        } else if (strchr(" \t\r\n,truefalsn", c) == NULL || c == '\0') {
            return err_set(e, ERR_INPUT, "json: unexpected character at byte %zu", i);
        }
    }
    return true;
}

struct json_object *json_parse_client(struct arena *a, const char *text, size_t len, struct err *e)
{
    struct json_object *tree;
    int members;

    if (!utf8_valid(text, len)) {
        err_set(e, ERR_INPUT, "json: not valid UTF-8");
        return NULL;
    }
    if (len == 0) {
        err_set(e, ERR_INPUT, "json: empty body");
        return NULL;
    }
    if (!scan(text, len, &members, e))
        return NULL;
    if (members > CLIENT_MEMBERS) {
        err_set(e, ERR_INPUT, "json: at most %d members expected", CLIENT_MEMBERS);
        return NULL;
    }
    tree = parse(a, text, len, CLIENT_DEPTH, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8, e);
    if (json_is_object(tree) && json_object_object_length(tree) != members) {
        err_set(e, ERR_INPUT, "%s: given twice", err_name(twice(a, text, len)).text);
        return NULL;
    }
    return tree;
}

/* Where the next half of a surrogate pair is escaped; len if nowhere. */
static size_t find_half(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '\\')
            continue;
        if (!check_escape(text + i, len - i))
            return i;
        i += is_surrogate_pair(text + i, len - i) ? 2 * ESCAPE_BYTES - 1 : 1;
    }
    return len;
}

/* Of each half a byte that is no UTF-8. */
static struct buf *mark_halves(struct arena *a, const char *text, size_t len)
{
    struct buf *marked = buf_create(a, len);
    size_t half;

    while ((half = find_half(text, len)) < len) {
        buf_add(marked, text, half);
        buf_puts(marked, "\xFF");
        text += half + ESCAPE_BYTES;
        len -= half + ESCAPE_BYTES;
    }
    buf_add(marked, text, len);
    return marked;
}

struct json_object *json_parse(struct arena *a, const char *text, size_t len, struct err *e)
{
    const struct buf *marked;

    if (find_half(text, len) == len)
        return parse(a, text, len, DEPTH, 0, e);
    marked = mark_halves(a, text, len);
    return parse(a, buf_text(marked), marked->len, DEPTH, 0, e);
}

struct json_object *json_parse_file(struct arena *a, const char *path, struct err *e)
{
    FILE *f = fopen(path, "re");
    struct json_object *tree;
    struct buf *text;
    char chunk[4096];
    size_t n;

    if (f == NULL) {
        err_set(e, ERR_INPUT, "%s: %s", path, strerror(errno));
        return NULL;
    }
    text = buf_create(a, FILE_MAX_BYTES);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_add(text, chunk, n);
    fclose(f);
    tree = json_parse(a, buf_text(text), text->len, e);
    if (tree == NULL) {
        char reason[sizeof e->text];

        memcpy(reason, e->text, sizeof reason);
        err_set(e, ERR_INPUT, "%s: %.180s", path, reason);
    }
    return tree;
}

struct json_object *json_at(struct json_object *tree, ...)
{
    const char *key;
    va_list ap;

    va_start(ap, tree);
    while (tree != NULL && (key = va_arg(ap, const char *)) != NULL) {
        if (json_object_is_type(tree, json_type_array))
            tree = isdigit((unsigned char)*key) ? json_item(tree, strtoul(key, NULL, 10)) : NULL;
        else if (!json_object_is_type(tree, json_type_object) ||
                 !json_object_object_get_ex(tree, key, &tree))
            tree = NULL;
    }
    va_end(ap);
    return tree;
}

bool json_is_object(struct json_object *node)
{
    return json_object_is_type(node, json_type_object);
}

bool json_is_array(struct json_object *node)
{
    return json_object_is_type(node, json_type_array);
}

bool json_is_null(struct json_object *node)
{
    return node == NULL;
}

size_t json_length(struct json_object *array)
{
    return json_is_array(array) ? json_object_array_length(array) : 0;
}

struct json_object *json_item(struct json_object *array, size_t i)
{
    return i < json_length(array) ? json_object_array_get_idx(array, i) : NULL;
}

const char *json_text(struct json_object *node)
{
    return json_object_is_type(node, json_type_string) ? json_object_get_string(node) : NULL;
}

const char *json_bytes(struct json_object *node, size_t *len)
{
    const char *s = json_text(node);

    *len = s ? (size_t)json_object_get_string_len(node) : 0;
    return s;
}

bool json_int(struct json_object *node, int64_t *value)
{
    if (!json_object_is_type(node, json_type_int))
        return false;
    *value = json_object_get_int64(node);
    return true;
}

bool json_number(struct json_object *node, double *value)
{
    if (!json_object_is_type(node, json_type_int) && !json_object_is_type(node, json_type_double))
        return false;
    *value = json_object_get_double(node);
    return isfinite(*value);
}

bool json_flag(struct json_object *node, bool *value)
{
    if (!json_object_is_type(node, json_type_boolean))
        return false;
    *value = json_object_get_boolean(node);
    return true;
}

const char *json_print(struct json_object *node)
{
    return json_object_to_json_string_ext(node,
                                          JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

const char *json_unknown_member(struct json_object *object, const char *const names[])
{
    json_object_object_foreach(object, key, value)
    {
        const char *const *name = names;

        (void)value;
        while (*name != NULL && strcmp(*name, key) != 0)
            name++;
        if (*name == NULL)
            return key;
    }
    return NULL;
}

static void lead(struct json_out *o, const char *key)
{
    if (o->comma)
        buf_add(o->buf, ",", 1);
    o->comma = true;
    if (key != NULL) {
        json_write_string(o->buf, key, strlen(key));
        buf_add(o->buf, ":", 1);
    }
}

void json_begin(struct json_out *o, const char *key, char bracket)
{
    lead(o, key);
    buf_add(o->buf, &bracket, 1);
    o->comma = false;
}

void json_end(struct json_out *o, char bracket)
{
    buf_add(o->buf, &bracket, 1);
    o->comma = true;
}

void json_put_text(struct json_out *o, const char *key, const char *s)
{
    if (s == NULL)
        json_put_null(o, key);
    else
        json_put_bytes(o, key, s, strlen(s));
}

void json_put_bytes(struct json_out *o, const char *key, const char *s, size_t len)
{
    lead(o, key);
    json_write_string(o->buf, s, len);
}

void json_put_int(struct json_out *o, const char *key, int64_t value)
{
    lead(o, key);
    buf_printf(o->buf, "%lld", (long long)value);
}

void json_put_number(struct json_out *o, const char *key, double value)
{
    if (!isfinite(value)) {
        json_put_null(o, key);
        return;
    }
    lead(o, key);
    buf_printf(o->buf, "%.12g", value);
}

void json_put_bool(struct json_out *o, const char *key, bool value)
{
    lead(o, key);
    buf_puts(o->buf, value ? "true" : "false");
}

void json_put_null(struct json_out *o, const char *key)
{
    lead(o, key);
    buf_puts(o->buf, "null");
}

void json_put_raw(struct json_out *o, const char *key, const char *json)
{
    lead(o, key);
    buf_puts(o->buf, json ? json : "null");
}

void json_write_string(struct buf *b, const char *s, size_t len)
{
    static const char escapes[128] = {['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
                                      ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't'};
    static const char hex[] = "0123456789abcdef";
    size_t kept = 0;

    buf_add(b, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        buf_add(b, s + kept, i - kept);
        kept = i + 1;
        if (escapes[c])
            buf_add(b, (const char[]){'\\', escapes[c]}, 2);
        else
            buf_add(b, (const char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
    }
    buf_add(b, s + kept, len - kept);
    buf_add(b, "\"", 1);
}
