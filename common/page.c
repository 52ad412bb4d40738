#include "common/page.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/uuid.h"

enum { PLAIN_MAX = 128, ID_MAX_DIGITS = 18 };

#define NO_VALUE "null"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* FNV-1a: binds a cursor to its scope; a slip is caught, an attack gains nothing. */
static uint32_t hash(const char *s)
{
    uint32_t h = 2166136261U;

    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 16777619U;
    return h;
}

/* base64url without padding (RFC 4648, 5). */
static const char *encode(struct arena *a, const char *s)
{
    char *out = arena_alloc(a, strlen(s) * 4 / 3 + 4), *p = out;
    uint32_t bits = 0;
    int held = 0;

    for (; *s; s++) {
        bits = bits << 8 | (uint8_t)*s;
        for (held += 8; held >= 6; held -= 6)
            *p++ = digits[bits >> (held - 6) & 63];
    }
    if (held > 0)
        *p++ = digits[bits << (6 - held) & 63];
    *p = '\0';
    return out;
}

static bool decode(const char *s, char out[PLAIN_MAX])
{
    uint32_t bits = 0;
    int held = 0, n = 0;

    for (; *s; s++) {
        const char *digit = strchr(digits, *s);

        if (digit == NULL || n == PLAIN_MAX - 1)
            return false;
        bits = bits << 6 | (uint32_t)(digit - digits);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (char)(bits >> held & 255);
            if (out[n - 1] < ' ')
                return false;
        }
    }
    out[n] = '\0';
    return true;
}

/* A time as PostgreSQL spells it in JSON, in UTC, and one that there is. */
static bool is_time(const char *s)
{
    struct tm tm = {0};
    const char *rest = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
    char again[32];
    size_t len, digit_count = 1;
    time_t at;

    if (rest == NULL)
        return false;
    at = timegm(&tm);
    len = strftime(again, sizeof again, "%FT%T", gmtime_r(&at, &tm));
    if (len != (size_t)(rest - s) || memcmp(s, again, len) != 0)
        return false;
    if (*rest == '.') {
        digit_count = strspn(rest + 1, "0123456789");
        rest += 1 + digit_count;
    }
    return digit_count >= 1 && digit_count <= 6 && strcmp(rest, "+00:00") == 0;
}

/* A number as PostgreSQL spells it. */
static bool is_number(const char *s)
{
    size_t whole, fraction = 1;

    s += *s == '-';
    whole = strspn(s, "0123456789");
    s += whole;
    if (*s == '.') {
        fraction = strspn(s + 1, "0123456789");
        s += 1 + fraction;
    }
    return whole > 0 && fraction > 0 && *s == '\0';
}

static bool is_value(const struct page_request *r, const char *s)
{
    return r->by_number ? is_number(s) || strcmp(s, NO_VALUE) == 0 : is_time(s);
}

static bool is_id(const struct page_request *r, const char *s)
{
    size_t len = strlen(s);

    return r->numbered ? len <= ID_MAX_DIGITS && strspn(s, "0123456789") == len : uuid_valid(s);
}

/* "1 hash value id": the form's version first. */
static const char *make(struct arena *a, uint32_t scope, const char *value, const char *id)
{
    return encode(a, arena_printf(a, "1 %08x %s %s", scope, value ? value : NO_VALUE, id));
}

bool page_begin(struct arena *a, const struct page_request *r, struct page_position *at,
                struct err *e)
{
    char plain[PLAIN_MAX], value[64], id[UUID_SIZE];
    unsigned scope;

    *at = (struct page_position){NULL, NULL};
    if (r->cursor == NULL)
        return true;
    /* NOLINTNEXTLINE(cert-err34-c): what is read must spell the same cursor again */
    if (!decode(r->cursor, plain) || sscanf(plain, "1 %8x %63s %36s", &scope, value, id) != 3 ||
        !is_id(r, id) || !is_value(r, value) || strcmp(make(a, scope, value, id), r->cursor) != 0)
        return err_set(e, ERR_INPUT, "cursor: not one that this list gave");
    if (scope != hash(r->scope))
        return err_set(e, ERR_INPUT, "cursor: belongs to another filter or sort");
    at->id = arena_strdup(a, id);
    if (strcmp(value, NO_VALUE) != 0)
        at->value = arena_strdup(a, value);
    return true;
}

void page_end(struct arena *a, const struct page_request *r, struct db_rows *rows,
              struct page *page)
{
    int count = db_count(rows);

    *page = (struct page){.rows = rows, .count = count, .total = -1};
    if (count <= r->limit)
        return;
    page->count = (int)r->limit;
    page->next_cursor = make(a, hash(r->scope), db_value(rows, page->count - 1, 1),
                             db_value(rows, page->count - 1, 2));
}
