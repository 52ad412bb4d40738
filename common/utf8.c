#include "common/utf8.h"

#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#define REPLACEMENT "\xEF\xBF\xBD"
#define SYMBOL_FOR_NULL "\xE2\x90\x80"

/*
 * How the character at s begins: its length if it is well-formed, else minus the
 * length of its maximal subpart (Unicode 15, 3.9, "substitution of maximal subparts").
 */
static int step(const uint8_t *s, size_t len)
{
    uint8_t lead = s[0], low = 0x80, high = 0xBF;
    int need;

    if (lead < 0x80)
        return 1;
    if (lead < 0xC2 || lead > 0xF4)
        return -1;
    need = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F;
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    for (int i = 1; i <= need; i++) {
        if ((size_t)i >= len || s[i] < low || s[i] > high)
            return -i;
        low = 0x80;
        high = 0xBF;
    }
    return need + 1;
}

bool utf8_valid(const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        int n = step((const uint8_t *)s + i, len - i);

        if (n < 0)
            return false;
        i += (size_t)n;
    }
    return true;
}

size_t utf8_count(const char *s, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((uint8_t)s[i] & 0xC0) != 0x80;
    return n;
}

size_t utf8_prefix(const char *s, size_t len, size_t characters)
{
    size_t i = 0;

    while (i < len && characters > 0) {
        i++;
        while (i < len && ((uint8_t)s[i] & 0xC0) == 0x80)
            i++;
        characters--;
    }
    return i;
}

static wint_t code_point(const uint8_t *s, size_t len)
{
    size_t n = utf8_prefix((const char *)s, len, 1);
    wint_t code = n == 1 ? s[0] : s[0] & (0xFFU >> (n + 1));

    for (size_t i = 1; i < n; i++)
        code = code << 6 | (s[i] & 0x3FU);
    return code;
}

bool utf8_alnum(const char *s, size_t len)
{
    static locale_t unicode;

    if (unicode == (locale_t)0)
        unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (unicode == (locale_t)0)
        abort();
    return len > 0 && iswalnum_l(code_point((const uint8_t *)s, len), unicode);
}

/* The bytes of the white space character at s; 0 if it is none. */
static size_t blank(const char *s, size_t len)
{
    static const char *const wide[] = {"\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80",
                                       "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAF",
                                       "\xE2\x81\x9F", "\xE3\x80\x80", "\xEF\xBB\xBF"};

    if (len > 0 && (s[0] == ' ' || (s[0] >= '\t' && s[0] <= '\r')))
        return 1;
    if (len > 2 && memcmp(s, "\xE2\x80", 2) == 0 && (uint8_t)s[2] >= 0x80 && (uint8_t)s[2] <= 0x8A)
        return 3; /* U+2000 to U+200A */
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        size_t n = strlen(wide[i]);

        if (len >= n && memcmp(s, wide[i], n) == 0)
            return n;
    }
    return 0;
}

size_t utf8_blank_prefix(const char *s, size_t len)
{
    size_t i = 0, n;

    while ((n = blank(s + i, len - i)) > 0)
        i += n;
    return i;
}

size_t utf8_blank_suffix(const char *s, size_t len)
{
    size_t end = len, begin;

    while (end > 0) {
        for (begin = end - 1; begin > 0 && ((uint8_t)s[begin] & 0xC0) == 0x80;)
            begin--;
        if (blank(s + begin, end - begin) != end - begin)
            break;
        end = begin;
    }
    return len - end;
}

size_t utf8_store(struct buf *out, const char *s, size_t len)
{
    size_t replaced = 0, kept = 0, i = 0;

    while (i < len) {
        int n = step((const uint8_t *)s + i, len - i);

        if (n > 0 && s[i] != '\0') {
            i += (size_t)n;
            continue;
        }
        buf_add(out, s + kept, i - kept);
        buf_puts(out, n > 0 ? SYMBOL_FOR_NULL : REPLACEMENT);
        i += (size_t)(n > 0 ? n : -n);
        kept = i;
        replaced++;
    }
    buf_add(out, s + kept, len - kept);
    return replaced;
}
