#include "common/redact.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/json.h"

enum { SECRET_MIN = 8, FORMS_MAX = 512, GROWTH = 4, LOOK_BYTES = 64 };

/* What a configured secret may look like in a text. */
static struct form {
    char *bytes;
    size_t len;
} forms[FORMS_MAX];
static size_t form_count;

enum charset { WORD, DASHED, UPPER_DIGIT, TOKEN };

/* Shapes of published kinds of keys: what they begin with, and how they go on. */
static const struct shape {
    const char *prefix;
    enum charset charset;
    size_t min;
    const char *kind;
} shapes[] = {
    {"sk-ant-", DASHED, 20, "anthropic"},
    {"sk-", DASHED, 20, "openai"},
    {"AIza", DASHED, 35, "google"},
    {"ya29.", DASHED, 20, "google"},
    {"gsk_", WORD, 40, "groq"},
    {"hf_", WORD, 30, "huggingface"},
    {"xai-", WORD, 40, "xai"},
    {"pplx-", WORD, 40, "perplexity"},
    {"ghp_", WORD, 36, "github"},
    {"gho_", WORD, 36, "github"},
    {"ghu_", WORD, 36, "github"},
    {"ghs_", WORD, 36, "github"},
    {"ghr_", WORD, 36, "github"},
    {"github_pat_", WORD, 40, "github"},
    {"AKIA", UPPER_DIGIT, 16, "aws"},
    {"ASIA", UPPER_DIGIT, 16, "aws"},
    {"xoxb-", DASHED, 10, "slack"},
    {"xoxa-", DASHED, 10, "slack"},
    {"xoxp-", DASHED, 10, "slack"},
    {"xoxr-", DASHED, 10, "slack"},
    {"xoxs-", DASHED, 10, "slack"},
    {"Bearer ", TOKEN, 16, "bearer"},
};

/* Which two bytes can begin a secret or a shape; a text is scanned by this first. */
static bool begins[256][256];

static bool *beginning(const char *s)
{
    return &begins[(unsigned char)s[0]][(unsigned char)s[1]];
}

static bool in_charset(enum charset set, unsigned char c)
{
    switch (set) {
    case WORD:
        return isalnum(c) || c == '_';
    case DASHED:
        return isalnum(c) || c == '_' || c == '-';
    case UPPER_DIGIT:
        return isupper(c) || isdigit(c);
    case TOKEN:
        return isalnum(c) || (c != '\0' && strchr("._~+/=-", c) != NULL);
    }
    return false;
}

static void form_add(const char *bytes, size_t len)
{
    for (size_t i = 0; i < form_count; i++)
        if (forms[i].len == len && memcmp(forms[i].bytes, bytes, len) == 0)
            return;
    if (form_count == FORMS_MAX) {
        fputs("redact: too many secrets\n", stderr);
        abort();
    }
    forms[form_count] = (struct form){strndup(bytes, len), len};
    if (forms[form_count].bytes == NULL)
        abort();
    *beginning(bytes) = true;
    form_count++;
}

static void add_url_encoded(struct arena *a, const char *s, bool lower)
{
    struct buf *b = buf_create(a, 3 * strlen(s));

    for (; *s; s++)
        if (isalnum((unsigned char)*s) || strchr("-._~", *s))
            buf_add(b, s, 1);
        else
            buf_printf(b, lower ? "%%%02x" : "%%%02X", (unsigned char)*s);
    form_add(buf_text(b), b->len);
}

/*
 * Base64 of text that holds the secret depends on how many bytes stand before it:
 * three forms, less the characters that its neighbours influence. `last` are the
 * two digits in which the alphabets of RFC 4648, 4 and 5, differ.
 */
static void add_base64(struct arena *a, const char *s, size_t skip, const char last[2])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    size_t len = strlen(s), first = (skip * 8 + 5) / 6, bits = (skip + len) * 8;
    struct buf *b = buf_create(a, 2 * len + 8);

    for (size_t i = first; (i + 1) * 6 <= bits; i++) {
        unsigned value = 0;

        for (size_t bit = i * 6; bit < i * 6 + 6; bit++) {
            size_t byte = bit / 8 - skip;

            value = value << 1 | (((unsigned char)s[byte] >> (7 - bit % 8)) & 1U);
        }
        buf_add(b, value < 62 ? &digits[value] : &last[value - 62], 1);
    }
    if (b->len >= SECRET_MIN)
        form_add(buf_text(b), b->len);
}

void redact_secret(const char *secret)
{
    struct arena *a;
    struct buf *json;

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        *beginning(shapes[i].prefix) = true;
    if (secret == NULL || strlen(secret) < SECRET_MIN)
        return;
    a = arena_create();
    json = buf_create(a, 6 * strlen(secret) + 2);
    json_write_string(json, secret, strlen(secret));
    form_add(secret, strlen(secret));
    form_add(json->data + 1, json->len - 2);
    add_url_encoded(a, secret, false);
    add_url_encoded(a, secret, true);
    for (size_t skip = 0; skip < 3; skip++) {
        add_base64(a, secret, skip, "+/");
        add_base64(a, secret, skip, "-_");
    }
    arena_destroy(a);
}

/* The longest: one secret may begin like another. */
static size_t match_secret(const char *text, size_t len)
{
    size_t longest = 0;

    for (size_t i = 0; i < form_count; i++)
        if (forms[i].len <= len && forms[i].len > longest &&
            memcmp(forms[i].bytes, text, forms[i].len) == 0)
            longest = forms[i].len;
    return longest;
}

/* A key is random; words in lower case behind a prefix, "sk-learn-based-…", are none. */
static bool is_random(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (isdigit((unsigned char)s[i]) || isupper((unsigned char)s[i]))
            return true;
    return false;
}

/* Where what began before i ends. */
static size_t token_end(enum charset set, const char *text, size_t i, size_t len)
{
    while (i < len && in_charset(set, (unsigned char)text[i]))
        i++;
    return i;
}

/*
 * The length of the key-like token at text, and its kind; 0 if there is none. Only what is taken
 * out is read to its end: else "sk-sk-sk-…" would be read again from each of its parts.
 */
static size_t match_shape(const char *text, size_t len, const char **kind)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t prefix = strlen(shapes[i].prefix), end;

        if (len < prefix + shapes[i].min || memcmp(text, shapes[i].prefix, prefix) != 0)
            continue;
        end = token_end(shapes[i].charset, text, prefix,
                        len < prefix + LOOK_BYTES ? len : prefix + LOOK_BYTES);
        if (end - prefix >= shapes[i].min && is_random(text + prefix, end - prefix)) {
            *kind = shapes[i].kind;
            return token_end(shapes[i].charset, text, end, len);
        }
    }
    return 0;
}

const char *redact(struct arena *a, const char *text, size_t len, size_t *out_len)
{
    struct buf *out = NULL;
    size_t kept = 0, i = 0, n;
    const char *kind;

    if (!*beginning(shapes[0].prefix))
        redact_secret(NULL); /* the shapes at least */
    while (i < len) {
        kind = NULL;
        if (i + 1 == len || !*beginning(text + i) ||
            ((n = match_secret(text + i, len - i)) == 0 &&
             ((i > 0 && in_charset(WORD, (unsigned char)text[i - 1])) ||
              (n = match_shape(text + i, len - i, &kind)) == 0))) {
            i++;
            continue;
        }
        if (out == NULL)
            out = buf_create(a, GROWTH * len + 64);
        buf_add(out, text + kept, i - kept);
        buf_printf(out, kind ? "[REDACTED:%s]" : "[REDACTED]", kind);
        i += n;
        kept = i;
    }
    if (out == NULL) {
        *out_len = len;
        return text;
    }
    buf_add(out, text + kept, len - kept);
    *out_len = out->len;
    return buf_text(out);
}
