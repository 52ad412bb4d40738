#include "common/redact.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/utf8.h"

#define MARK "[REDACTED" /* what stands for what was taken out */

enum {
    SECRET_MIN = 8,
    SHAPE_MIN = 15, /* bytes of the shortest of the shapes */
    SECRETS_MAX = 64,
    GROWTH = 4,
    LOOK_BYTES = 64,
    ESCAPES_MAX = 2, /* JSON in JSON, a URL in JSON, and the like */
    JWT_HEADER_MAX = 512,
    PART_CHANGES = 5,  /* no word has so many */
    PART_LONG = 16,    /* and so many letters and a digit, */
    PART_ENDLESS = 30, /* or is so long */
    ALL_CHANGES = 6,   /* of a UUID, of no slug */
    WRAP_MIN = 60,     /* digits of a line that goes on */
    PASSES_MAX = 4,
};

/* The configured ones. */
static struct secret {
    char *bytes;
    size_t len;
} secrets[SECRETS_MAX];
static size_t secret_count;

enum charset { WORD, DASHED, UPPER_DIGIT, TOKEN, BASE64 };

struct shape;
static size_t match_token(const struct shape *s, const char *text, size_t len, size_t *from);
static size_t match_marked(const struct shape *s, const char *text, size_t len, size_t *from);
static size_t match_basic(const struct shape *s, const char *text, size_t len, size_t *from);
static size_t match_jwt(const struct shape *s, const char *text, size_t len, size_t *from);
static size_t match_private_key(const struct shape *s, const char *text, size_t len, size_t *from);
static size_t match_password(const struct shape *s, const char *text, size_t len, size_t *from);

/*
 * Shapes of published kinds of keys: what they begin with, and how they go on; or else who knows
 * that. What match() gives is where the key ends, 0 for none; it may begin behind the prefix.
 */
static const struct shape {
    const char *prefix;
    enum charset charset;
    size_t min;
    const char *kind;
    size_t (*match)(const struct shape *s, const char *text, size_t len, size_t *from);
} shapes[] = {
    {"sk-ant-", DASHED, 20, "anthropic", match_token},
    {"sk-", DASHED, 20, "openai", match_token},
    {"AIza", DASHED, 35, "google", match_marked},
    {"ya29.", DASHED, 20, "google", match_token},
    {"gsk_", WORD, 40, "groq", match_token},
    {"hf_", WORD, 30, "huggingface", match_token},
    {"xai-", WORD, 40, "xai", match_token},
    {"pplx-", WORD, 40, "perplexity", match_token},
    {"ghp_", WORD, 36, "github", match_token},
    {"gho_", WORD, 36, "github", match_token},
    {"ghu_", WORD, 36, "github", match_token},
    {"ghs_", WORD, 36, "github", match_token},
    {"ghr_", WORD, 36, "github", match_token},
    {"github_pat_", WORD, 40, "github", match_token},
    {"glpat-", DASHED, 20, "gitlab", match_marked},
    {"AKIA", UPPER_DIGIT, 16, "aws", match_marked},
    {"ASIA", UPPER_DIGIT, 16, "aws", match_marked},
    {"xoxb-", DASHED, 10, "slack", match_marked},
    {"xoxa-", DASHED, 10, "slack", match_marked},
    {"xoxp-", DASHED, 10, "slack", match_marked},
    {"xoxr-", DASHED, 10, "slack", match_marked},
    {"xoxs-", DASHED, 10, "slack", match_marked},
    {"lt_", DASHED, 43, "lesson-tracer", match_token},
    {"Bearer ", TOKEN, 16, "bearer", match_token},
    {"Basic ", BASE64, 12, "basic", match_basic},
    {"eyJ", DASHED, 10, "jwt", match_jwt},
    {"-----BEGIN ", BASE64, 20, "private_key", match_private_key},
    {"//", TOKEN, 6, "password", match_password},
};

/* Which two bytes can begin a secret or a shape; a text is scanned by this first. */
static bool begins[256][256];

/*
 * How bytes are spelt in digits, most significant first. A text may stand anywhere in what was
 * encoded, and that anywhere in a run of digits: so each run is read from each of its first digits.
 */
static struct coding {
    unsigned bits; /* of a digit */
    size_t phases; /* after so many digits a byte begins with one again */
    signed char digits[256];
} base64 = {6, 4, {0}}, hex = {4, 2, {0}};

/* Bytes of the shortest key there is: shorter runs of digits are not looked into. */
static size_t shortest = SHAPE_MIN;

/* A text, or what it says without escapes; then at[i] is where its byte i stands in the other. */
struct view {
    const char *text;
    size_t len;
    const struct view *escaped;
    const uint32_t *at;
};

/* What has to go of the text that redact() was given. */
struct find {
    size_t from, to;
    const char *kind; /* NULL: a configured secret */
};

struct finder {
    struct arena *a;
    struct find *finds;
    size_t count, size;
    char *decoded; /* as long as the longest view, the first */
};

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
    case BASE64:
        return isalnum(c) || c == '+' || c == '/' || c == '=';
    }
    return false;
}

/* ---- what is looked for ---- */

static void init_digits(struct coding *c, const char *digits, const char *same)
{
    memset(c->digits, -1, sizeof c->digits);
    for (size_t i = 0; digits[i]; i++)
        c->digits[(unsigned char)digits[i]] = (signed char)i;
    for (size_t i = 0; same[i]; i++) /* another spelling of the last ones */
        c->digits[(unsigned char)same[i]] = (signed char)(strlen(digits) - strlen(same) + i);
}

static void init(void)
{
    if (*beginning(shapes[0].prefix))
        return;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        *beginning(shapes[i].prefix) = true;
    init_digits(&base64, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", "-_");
    init_digits(&hex, "0123456789abcdef", "ABCDEF");
}

void redact_secret(const char *secret)
{
    init();
    if (secret == NULL || strlen(secret) < SECRET_MIN)
        return;
    for (size_t i = 0; i < secret_count; i++)
        if (strcmp(secrets[i].bytes, secret) == 0)
            return;
    if (secret_count == SECRETS_MAX) {
        fputs("redact: too many secrets\n", stderr);
        abort();
    }
    secrets[secret_count] = (struct secret){strdup(secret), strlen(secret)};
    if (secrets[secret_count].bytes == NULL)
        abort();
    *beginning(secret) = true;
    if (secrets[secret_count].len < shortest)
        shortest = secrets[secret_count].len;
    secret_count++;
}

/* The longest: one secret may begin like another. */
static size_t match_secret(const char *text, size_t len)
{
    size_t longest = 0;

    for (size_t i = 0; i < secret_count; i++)
        if (secrets[i].len <= len && secrets[i].len > longest &&
            memcmp(secrets[i].bytes, text, secrets[i].len) == 0)
            longest = secrets[i].len;
    return longest;
}

/* Words in lower case are no key. */
static bool has_digit_or_upper(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (isdigit((unsigned char)s[i]) || isupper((unsigned char)s[i]))
            return true;
    return false;
}

/* What is between two signs: how often it goes from one of a, A, 1 to another, "Word" aside. */
struct part {
    size_t len, changes;
    bool digit, letter;
};

static struct part read_part(const char *s, size_t len)
{
    struct part p = {0};

    for (; p.len < len && isalnum((unsigned char)s[p.len]); p.len++) {
        unsigned char c = (unsigned char)s[p.len], before = p.len ? (unsigned char)s[p.len - 1] : c;

        p.digit |= isdigit(c) != 0;
        p.letter |= isalpha(c) != 0;
        p.changes += !isdigit(before) != !isdigit(c) || !islower(before) != !islower(c);
        if (p.len == 1 && isupper(before) && islower(c))
            p.changes = 0;
    }
    return p;
}

/* A key is random. "learn-tutorial-part-2b", "Responsibilities", "getHeaderOf" are not. */
static bool is_random(const char *s, size_t len)
{
    size_t all = 0;

    for (size_t i = 0; i < len;) {
        struct part p = read_part(s + i, len - i);

        if (p.changes >= PART_CHANGES || p.len >= PART_ENDLESS ||
            (p.digit && p.letter && (p.len >= PART_LONG || p.changes >= PART_CHANGES - 1)))
            return true;
        all += p.changes;
        i += p.len + 1;
    }
    return all >= ALL_CHANGES;
}

/* Where what began before i ends. */
static size_t token_end(enum charset set, const char *text, size_t i, size_t len)
{
    while (i < len && in_charset(set, (unsigned char)text[i]))
        i++;
    return i;
}

static size_t look_end(size_t from, size_t len)
{
    return len < from + LOOK_BYTES ? len : from + LOOK_BYTES;
}

/* Only what is taken out is read to its end: else "sk-sk-sk-…" would be read again from each part.
 */
static size_t match_run(const struct shape *s, const char *text, size_t len,
                        bool (*fits)(const char *s, size_t len))
{
    size_t prefix = strlen(s->prefix),
           end = token_end(s->charset, text, prefix, look_end(prefix, len));

    if (end - prefix < s->min || !fits(text + prefix, end - prefix))
        return 0;
    return token_end(s->charset, text, end, len);
}

static size_t match_token(const struct shape *s, const char *text, size_t len, size_t *from)
{
    *from = 0;
    return match_run(s, text, len, is_random);
}

/* Behind a prefix that no text has: what goes on like a key is one. */
static size_t match_marked(const struct shape *s, const char *text, size_t len, size_t *from)
{
    *from = 0;
    return match_run(s, text, len, has_digit_or_upper);
}

static size_t decode(const struct coding *c, const char *text, size_t from, size_t to, char *out);

/* Valid text, or the beginning of some. */
static bool is_text(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
            return false;
    for (size_t cut = 0; cut < 4 && cut <= len; cut++)
        if (utf8_valid(s, len - cut))
            return true;
    return false;
}

/* RFC 7617: a name and a password. No word is base64 for printable text with a colon in it. */
static size_t match_basic(const struct shape *s, const char *text, size_t len, size_t *from)
{
    size_t prefix = strlen(s->prefix), end = look_end(prefix, len), n = prefix, decoded;
    char name[LOOK_BYTES];

    *from = 0;
    while (n < end && base64.digits[(unsigned char)text[n]] >= 0)
        n++;
    if (n - prefix < s->min)
        return 0;
    decoded = decode(&base64, text, prefix, n, name);
    if (memchr(name, ':', decoded) == NULL || !is_text(name, decoded))
        return 0;
    return token_end(s->charset, text, n, len);
}

/* RFC 7519: "eyJ" is base64 for the brace and the quote that header and payload begin with. */
static size_t match_jwt(const struct shape *s, const char *text, size_t len, size_t *from)
{
    size_t prefix = strlen(s->prefix),
           end = token_end(DASHED, text, prefix, len < JWT_HEADER_MAX ? len : JWT_HEADER_MAX);
    size_t payload = end + 1 + prefix;

    *from = 0;
    if (end < s->min || payload > len || text[end] != '.' ||
        memcmp(text + end + 1, s->prefix, prefix) != 0 ||
        token_end(DASHED, text, payload, look_end(payload, len)) < payload + s->min)
        return 0;
    end = token_end(DASHED, text, payload, len);
    return end + 1 < len && text[end] == '.' ? token_end(DASHED, text, end + 1, len) : end;
}

static bool is_at(const char *text, size_t i, size_t len, const char *word)
{
    return strlen(word) <= len - i && memcmp(text + i, word, strlen(word)) == 0;
}

/* What manuals write where a password goes, and what we do. */
static bool is_placeholder(const char *s, size_t len)
{
    static const char *const words[] = {
        "changeme",      "db_password",   "example",       "my-password", "mypassword",
        "passphrase",    "passwd",        "password",      "passwort",    "secret",
        "user_password", "your-password", "your_password", "yourpassword"};

    if (strchr("$%({[*", *s) != NULL)
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == len && strncasecmp(words[i], s, len) == 0)
            return true;
    return false;
}

/* The password of a URL: "//user:password@". The user may be read, and be missing. */
static size_t match_password(const struct shape *s, const char *text, size_t len, size_t *from)
{
    size_t end = strlen(s->prefix), limit = look_end(look_end(end, len), len);

    while (end < limit && (isalnum((unsigned char)text[end]) || strchr("._~%+-", text[end])))
        end++;
    *from = end + 1;
    if (end == limit || text[end] != ':')
        return 0;
    while (end < limit && isgraph((unsigned char)text[end]) && !strchr("@/\"'<>", text[end]))
        end++;
    if (end == limit || text[end] != '@' || end < *from + s->min ||
        is_placeholder(text + *from, end - *from))
        return 0;
    return end;
}

static size_t blanks_end(const char *text, size_t i, size_t len)
{
    while (i < len && isspace((unsigned char)text[i]))
        i++;
    return i;
}

/* RFC 7468: BEGIN and END, and what stands between them, also if it is cut off. */
static size_t match_private_key(const struct shape *s, const char *text, size_t len, size_t *from)
{
    static const char label[] = "PRIVATE KEY-----", last[] = "-----END ";
    size_t i = strlen(s->prefix), limit = look_end(i, len), line, end = 0;

    *from = 0;
    while (i < limit && !is_at(text, i, len, label) &&
           (isupper((unsigned char)text[i]) || text[i] == ' '))
        i++;
    if (!is_at(text, i, len, label))
        return 0;
    line = blanks_end(text, i + strlen(label), len);
    for (i = token_end(BASE64, text, line, len);
         i - line >= s->min ||
         (end > 0 && i > line && is_at(text, blanks_end(text, i, len), len, last));
         i = token_end(BASE64, text, line, len)) {
        end = i;
        line = blanks_end(text, i, len);
    }
    if (end == 0 || !is_at(text, line, len, last))
        return end;
    for (i = line + strlen(last); i < len && !is_at(text, i, len, label); i++)
        if (!isupper((unsigned char)text[i]) && text[i] != ' ')
            return line;
    return i < len ? i + strlen(label) : len;
}

/* ---- where it is looked for ---- */

/* Where byte i of a view stands in the text that redact() was given. */
static size_t origin(const struct view *v, size_t i)
{
    for (; v->escaped != NULL; v = v->escaped)
        i = v->at[i];
    return i;
}

static void add_find(struct finder *f, size_t from, size_t to, const char *kind)
{
    struct find *grown;

    if (f->count == f->size) {
        f->size = f->size ? 2 * f->size : 16;
        grown = arena_alloc(f->a, f->size * sizeof *grown);
        if (f->count > 0)
            memcpy(grown, f->finds, f->count * sizeof *grown);
        f->finds = grown;
    }
    f->finds[f->count++] = (struct find){from, to, kind};
}

/* The length of the key-like token at i, where no word goes on that begins at or behind begin. A
 * name goes before a key as in KEY_sk-…. */
static size_t match_shape(const char *text, size_t begin, size_t i, size_t len, size_t *from,
                          const char **kind)
{
    size_t end;

    if (i > begin && isalnum((unsigned char)text[i - 1]))
        return 0;
    for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++)
        if (text[i] == shapes[n].prefix[0] && text[i + 1] == shapes[n].prefix[1] &&
            is_at(text, i, len, shapes[n].prefix) &&
            (end = shapes[n].match(&shapes[n], text + i, len - i, from)) > 0) {
            *kind = shapes[n].kind;
            return end;
        }
    return 0;
}

/* What was found first at or behind *i; *i is then behind it. */
static bool next_find(const char *text, size_t len, size_t *i, struct find *found)
{
    size_t at = *i, n, from;

    for (; at + 1 < len; at++) {
        if (!*beginning(text + at))
            continue;
        found->kind = NULL;
        from = 0; /* a shape that did not match may have set it */
        if ((n = match_secret(text + at, len - at)) == 0 &&
            (n = match_shape(text, *i, at, len, &from, &found->kind)) == 0)
            continue;
        found->from = at + from;
        found->to = *i = at + n;
        return true;
    }
    return false;
}

/* The bytes of all digits but those that begin one too many. */
static size_t decode(const struct coding *c, const char *text, size_t from, size_t to, char *out)
{
    unsigned bits = 0, acc = 0;
    size_t len = 0;

    for (size_t i = from; i < to; i++) {
        acc = acc << c->bits | (unsigned)c->digits[(unsigned char)text[i]];
        bits += c->bits;
        if (bits >= 8)
            out[len++] = (char)(acc >> (bits -= 8));
    }
    return len;
}

/* With a key goes each digit that has a bit of it. */
static void look_into_run(struct finder *f, const struct view *v, const struct coding *c,
                          size_t from, size_t to)
{
    struct find found;
    size_t len;

    if (f->decoded == NULL)
        f->decoded = arena_alloc(f->a, v->len);
    for (size_t begin = from; begin < from + c->phases; begin++) {
        len = decode(c, v->text, begin, to, f->decoded);
        for (size_t i = 0; next_find(f->decoded, len, &i, &found);)
            add_find(f, origin(v, begin + found.from * 8 / c->bits),
                     origin(v, begin + (found.to * 8 + c->bits - 1) / c->bits), found.kind);
    }
}

/* Where a run of min digits or more begins, at from or behind it, and ends; false: there is none.
 */
static bool next_run(const struct coding *c, const char *text, size_t min, size_t *from, size_t *to,
                     size_t len)
{
    size_t i = *from, last;

    /* What is no digit rules out all runs that it would be in. */
    for (; i + min <= len; i = last + 1) {
        last = i + min - 1;
        while (last > i && c->digits[(unsigned char)text[last]] >= 0)
            last--;
        if (last > i || c->digits[(unsigned char)text[i]] < 0)
            continue;
        for (*from = i, i += min; i < len && c->digits[(unsigned char)text[i]] >= 0; i++)
            continue;
        *to = i;
        return true;
    }
    return false;
}

static void look_into_digits(struct finder *f, const struct view *v, const struct coding *c)
{
    size_t min = (shortest * 8 + c->bits - 1) / c->bits, to;

    for (size_t from = 0; next_run(c, v->text, min, &from, &to, v->len); from = to)
        look_into_run(f, v, c, from, to);
}

static int hex_value(char c)
{
    return hex.digits[(unsigned char)c];
}

/* The code unit of the four digits behind \u; -1: there are none. */
static long code_unit(const char *s, size_t len)
{
    long unit = 0;

    if (len < 6 || s[0] != '\\' || s[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        if (hex_value(s[i]) < 0)
            return -1;
        unit = unit * 16 + hex_value(s[i]);
    }
    return unit;
}

static size_t put_utf8(char *out, long c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* What the escape at s says, of URLs (RFC 3986, 2.1) or JSON (RFC 8259, 7), and how long it is; 0:
 * it is none. */
static size_t read_escape(const char *s, size_t len, char *out, size_t *out_len)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    long unit = code_unit(s, len), low;
    const char *name;

    *out_len = 1;
    if (*s == '%' && len > 2 && hex_value(s[1]) >= 0 && hex_value(s[2]) >= 0) {
        out[0] = (char)(hex_value(s[1]) * 16 + hex_value(s[2]));
        return 3;
    }
    if (*s != '\\' || len < 2)
        return 0;
    if (unit < 0) {
        name = s[1] ? strchr(names, s[1]) : NULL;
        out[0] = (char)(name ? meant[name - names] : '\0');
        return name ? 2 : 0;
    }
    low = code_unit(s + 6, len - 6);
    if ((unit & 0xFC00) == 0xD800 && low >= 0 && (low & 0xFC00) == 0xDC00) {
        *out_len = put_utf8(out, 0x10000 + ((unit & 0x3FF) << 10) + (low & 0x3FF));
        return 12;
    }
    *out_len = put_utf8(out, unit);
    return 6;
}

/* Where the next escape is, at i or behind it. */
static size_t find_escape(const struct view *v, size_t i)
{
    char bytes[4];
    size_t n;

    while (i < v->len && ((v->text[i] != '%' && v->text[i] != '\\') ||
                          read_escape(v->text + i, v->len - i, bytes, &n) == 0))
        i++;
    return i;
}

/* The view without one layer of escapes; NULL: there are none. */
static const struct view *unescape(struct arena *a, const struct view *v)
{
    size_t i = 0, len = 0, n, next = find_escape(v, 0);
    struct view *out;
    uint32_t *at;
    char *text;

    if (next == v->len)
        return NULL;
    text = arena_alloc(a, v->len + 1);
    at = arena_alloc(a, (v->len + 1) * sizeof *at);
    for (;; next = find_escape(v, i)) {
        memcpy(text + len, v->text + i, next - i);
        while (i < next)
            at[len++] = (uint32_t)i++;
        at[len] = (uint32_t)i;
        if (i == v->len)
            break;
        i += read_escape(v->text + i, v->len - i, text + len, &n);
        for (n += len; len < n; len++)
            at[len] = (uint32_t)next;
    }
    out = arena_alloc(a, sizeof *out);
    *out = (struct view){text, len, v, at};
    return out;
}

/* The break at i that a line of base64 goes on behind; 0: there is none. */
static size_t wrap_len(const struct view *v, size_t i, size_t line)
{
    size_t n = i + 1 < v->len && v->text[i] == '\r' ? 2 : 1;

    return line >= WRAP_MIN && i + n < v->len && v->text[i + n - 1] == '\n' &&
                   base64.digits[(unsigned char)v->text[i + n]] >= 0
               ? n
               : 0;
}

/* The view without the breaks in base64 (RFC 2045, 6.8; RFC 7468, 2); NULL: there are none. */
static const struct view *unwrap(struct arena *a, const struct view *v)
{
    size_t line = 0, len = 0, n;
    struct view *out = NULL;
    uint32_t *at = NULL;
    char *text = NULL;

    for (size_t i = 0; i < v->len; i++) {
        if ((n = wrap_len(v, i, line)) > 0) {
            if (out == NULL) {
                out = arena_alloc(a, sizeof *out);
                text = arena_memdup(a, v->text, v->len);
                at = arena_alloc(a, (v->len + 1) * sizeof *at);
                for (len = 0; len < i; len++)
                    at[len] = (uint32_t)len;
            }
            i += n;
            line = 0;
        }
        line = base64.digits[(unsigned char)v->text[i]] >= 0 ? line + 1 : 0;
        if (out != NULL) {
            text[len] = v->text[i];
            at[len++] = (uint32_t)i;
        }
    }
    if (out == NULL)
        return NULL;
    at[len] = (uint32_t)v->len;
    *out = (struct view){text, len, v, at};
    return out;
}

static void look_into(struct finder *f, const struct view *v)
{
    struct find found;

    for (size_t i = 0; next_find(v->text, v->len, &i, &found);)
        add_find(f, origin(v, found.from), origin(v, found.to), found.kind);
    look_into_digits(f, v, &base64);
    look_into_digits(f, v, &hex);
    if ((v = unwrap(f->a, v)) != NULL)
        look_into_digits(f, v, &base64);
}

/* ---- taking it out ---- */

/* By where it begins, the longer first; of two of a length the one that is known for sure. */
static int compare(const void *first, const void *second)
{
    const struct find *x = first, *y = second;

    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    if (x->to != y->to)
        return x->to > y->to ? -1 : 1;
    return (x->kind != NULL) - (y->kind != NULL);
}

static const char *take_out(struct finder *f, const char *text, size_t len, size_t *out_len)
{
    struct buf *out = buf_create(f->a, GROWTH * len + 64);
    size_t kept = 0, n, to;

    qsort(f->finds, f->count, sizeof *f->finds, compare);
    for (size_t i = 0; i < f->count; i = n) {
        const struct find *one = &f->finds[i];

        to = one->to;
        for (n = i + 1; n < f->count && f->finds[n].from < to; n++)
            if (f->finds[n].to > to)
                to = f->finds[n].to;
        buf_add(out, text + kept, one->from - kept);
        buf_printf(out, one->kind ? MARK ":%s]" : MARK "]", one->kind);
        kept = to;
    }
    buf_add(out, text + kept, len - kept);
    *out_len = out->len;
    return buf_text(out);
}

static const char *redact_once(struct arena *a, const char *text, size_t len, size_t *out_len)
{
    struct view given = {text, len, NULL, NULL};
    const struct view *v = &given;
    struct finder f = {.a = a};

    look_into(&f, v);
    for (int i = 0; i < ESCAPES_MAX && (v = unescape(a, v)) != NULL; i++)
        look_into(&f, v);
    *out_len = len;
    return f.count == 0 ? text : take_out(&f, text, len, out_len);
}

/* What was taken out of one encoding may have hidden where a key of another begins. */
const char *redact(struct arena *a, const char *text, size_t len, size_t *out_len)
{
    const char *before;

    init();
    *out_len = len;
    for (int i = 0; i < PASSES_MAX; i++) {
        before = text;
        text = redact_once(a, before, *out_len, out_len);
        if (text == before)
            break;
    }
    return text;
}
