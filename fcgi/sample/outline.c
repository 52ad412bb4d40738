#include "fcgi/sample/outline.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/utf8.h"

enum {
    OUTLINE_MAX_BYTES = 64 << 10, /* of it are read */
    LINE_MAX_BYTES = 512,         /* of a line of wishes */
    WORD_MIN_BYTES = 3,
    WORD_CHARACTERS = 30,
    CUT_AT_SPACE_FROM = 40, /* a long title is cut between words if one ends behind this */
    GRADE_DEFAULT = 4,
    GRADE_MAX = 12,
    SECTIONS_DEFAULT = 4,
    SECTIONS_MIN = 3,
    SENTENCE_MIN_BYTES = 12,
    IDEOGRAPHIC_FULL_STOP = 0x3002,
};

#define UNTITLED "A Small Lesson"
#define NO_WORD "this topic"

struct span {
    const char *text;
    size_t len;
};

/* ---- characters ---- */

/* The character at s, of valid UTF-8; *size is how many bytes it takes. */
static uint32_t decode(const char *s, size_t *size)
{
    const uint8_t *u = (const uint8_t *)s;

    *size = u[0] < 0x80 ? 1 : u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : 4;
    switch (*size) {
    case 1:
        return u[0];
    case 2:
        return (u[0] & 0x1FU) << 6 | (u[1] & 0x3FU);
    case 3:
        return (u[0] & 0x0FU) << 12 | (u[1] & 0x3FU) << 6 | (u[2] & 0x3FU);
    default:
        return (u[0] & 0x07U) << 18 | (u[1] & 0x3FU) << 12 | (u[2] & 0x3FU) << 6 | (u[3] & 0x3FU);
    }
}

struct range {
    uint32_t first, last;
};

/* Controls, spaces and line ends of any kind, and what turns the direction of writing. */
static const struct range blanks[] = {
    {0x00, 0x20},     {0x7F, 0xA0},     {0x2000, 0x200B}, {0x200E, 0x200F}, {0x2028, 0x202F},
    {0x205F, 0x206F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}, {0xFFF0, 0xFFFD},
};

/* Punctuation and symbols: no part of a word. */
static const struct range marks[] = {
    {0x21, 0x2F},     {0x3A, 0x40},     {0x5B, 0x60},     {0x7B, 0x7E},     {0xA1, 0xA9},
    {0xAB, 0xB4},     {0xB6, 0xB9},     {0xBB, 0xBF},     {0xD7, 0xD7},     {0xF7, 0xF7},
    {0x060C, 0x060C}, {0x061B, 0x061F}, {0x0964, 0x0965}, {0x2010, 0x205E}, {0x2190, 0x2BFF},
    {0x3001, 0x3004}, {0x3008, 0x3020}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF20}, {0x1F000, 0x1FAFF},
};

static bool is_in(const struct range *ranges, size_t count, uint32_t c)
{
    for (size_t i = 0; i < count; i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

static bool is_blank(uint32_t c)
{
    return is_in(blanks, sizeof blanks / sizeof *blanks, c);
}

static bool is_word(uint32_t c)
{
    return !is_blank(c) && !is_in(marks, sizeof marks / sizeof *marks, c);
}

/* ---- where the outline is ---- */

/* Whether nothing but space and a full stop is left on the line. */
static bool ends_line(const char *s)
{
    s += strspn(s, " \t.\r");
    return *s == '\n' || *s == '\0';
}

/*
 * The first quoted passage: up to a quote that ends a line, so that quotes within stay within;
 * failing that up to the next quote. """ is a quote, too.
 */
static bool find_quoted(const char *prompt, struct span *found)
{
    const char *open = strchr(prompt, '"'), *close;
    size_t quote;

    if (open == NULL)
        return false;
    quote = strncmp(open, "\"\"\"", 3) == 0 ? 3 : 1;
    found->text = open + quote;
    close = strstr(found->text, quote == 3 ? "\"\"\"" : "\"");
    if (close == NULL)
        return false;
    for (const char *c = close; quote == 1 && c != NULL; c = strchr(c + 1, '"'))
        if (ends_line(c + 1)) {
            close = c;
            break;
        }
    found->len = (size_t)(close - found->text);
    return found->len > 0;
}

/* The outline, and where the wishes begin. */
static const char *find_outline(const char *prompt, struct span *outline)
{
    const char *wishes;

    if (find_quoted(prompt, outline)) {
        wishes = outline->text + outline->len;
    } else {
        *outline = (struct span){prompt, strlen(prompt)};
        wishes = prompt;
    }
    if (outline->len > OUTLINE_MAX_BYTES)
        for (outline->len = OUTLINE_MAX_BYTES; (outline->text[outline->len] & 0xC0) == 0x80;)
            outline->len--;
    return wishes;
}

/* ---- the title ---- */

/* What a character that Markdown or HTML would take for markup becomes in a title. */
static const struct {
    char from;
    const char *to;
} lookalikes[] = {
    {'<', "‹"}, {'>', "›"}, {'[', "("}, {']', ")"},  {'*', "∗"},
    {'`', "’"}, {'~', "∼"}, {'|', "/"}, {'\\', "/"},
};

static const char *lookalike(uint32_t c)
{
    for (size_t i = 0; i < sizeof lookalikes / sizeof *lookalikes; i++)
        if ((uint32_t)lookalikes[i].from == c)
            return lookalikes[i].to;
    return NULL;
}

/* "#" and "_" are markup unless they belong to a word: C#, snake_case. */
static bool is_loose(uint32_t c, char before, char after)
{
    if (c == '#')
        return !isalnum((unsigned char)before);
    return c == '_' && !(isalnum((unsigned char)before) && isalnum((unsigned char)after));
}

/* Whether the title ends here: with a sentence, but not with a short "Dr." or "Part 1:". */
static bool ends_title(uint32_t c, size_t len, const char *after, const char *end)
{
    size_t size;

    if (len == 0)
        return false;
    if (c == '\n' || c == IDEOGRAPHIC_FULL_STOP)
        return true;
    if (after == end || !is_blank(decode(after, &size)))
        return false;
    return c == '?' || c == '!' || ((c == '.' || c == ':') && len >= SENTENCE_MIN_BYTES);
}

/* List markers and the like: nothing to begin a title with. */
static bool is_lead(uint32_t c)
{
    return !is_word(c) && c != '"' && c != '\'' && c != '(';
}

/* The first sentence or line as plain text on one line. */
static struct buf *plain_title(struct arena *a, struct span outline)
{
    struct buf *b = buf_create(a, 4UL * OUTLINE_MAX_BYTES);
    const char *s = outline.text, *end = s + outline.len;
    bool gap = false;
    size_t size;

    for (; s < end; s += size) {
        uint32_t c = decode(s, &size);
        const char *like = lookalike(c), *after = s + size;
        char before = (char)(b->len > 0 && !gap ? b->data[b->len - 1] : ' ');

        if (ends_title(c, b->len, after, end)) {
            if (c == '?' || c == '!')
                buf_add(b, s, 1);
            break;
        }
        if (is_blank(c) || is_loose(c, before, (char)(after < end ? *after : ' ')))
            gap = b->len > 0;
        else if (b->len > 0 || !is_lead(c)) {
            buf_puts(b, gap ? " " : "");
            gap = false;
            buf_add(b, like ? like : s, like ? strlen(like) : size);
        }
    }
    return b;
}

static bool has_word(const char *s, size_t len)
{
    size_t size;

    for (size_t i = 0; i < len; i += size)
        if (is_word(decode(s + i, &size)))
            return true;
    return false;
}

/* "Make a lesson about the moon": the moon. */
static const char *skip_preamble(const char *title)
{
    static const char *const preambles[] = {"lesson about ", "lesson on ", "lesson plan for ",
                                            "lesson: "};

    for (size_t i = 0; i < sizeof preambles / sizeof *preambles; i++) {
        const char *at = strcasestr(title, preambles[i]);

        if (at != NULL && at - title < 30 && strlen(at) > strlen(preambles[i]))
            return at + strlen(preambles[i]);
    }
    return title;
}

static const char *cut_title(struct arena *a, const char *title)
{
    size_t len = strlen(title), cut;

    if (utf8_count(title, len) <= OUTLINE_TITLE_CHARACTERS)
        return title;
    len = utf8_prefix(title, len, OUTLINE_TITLE_CHARACTERS - 1);
    for (cut = len; cut > CUT_AT_SPACE_FROM && title[cut] != ' '; cut--)
        ;
    if (cut > CUT_AT_SPACE_FROM)
        len = cut;
    while (len > 0 && strchr(" ,;:-(", title[len - 1]) != NULL)
        len--;
    return arena_printf(a, "%.*s…", (int)len, title);
}

static const char *make_title(struct arena *a, struct span outline)
{
    struct buf *b = plain_title(a, outline);
    const char *kept = skip_preamble(buf_text(b));
    size_t len = strlen(kept);
    char *title;

    while (len > 0 && strchr(" .,;:", kept[len - 1]) != NULL)
        len--;
    if (!has_word(kept, len))
        return UNTITLED;
    title = arena_memdup(a, kept, len);
    *title = (char)toupper((unsigned char)*title);
    if (strncasecmp(title, "generated", strlen("generated")) == 0)
        title = arena_printf(a, "About “%s”", title);
    return cut_title(a, title);
}

/* ---- the topic's words ---- */

static const char *const stopwords[] = {
    "children",     "kids",    "learners", "young",    "basic",   "basics",    "about",  "all",
    "and",          "any",     "are",      "ask",      "based",   "be",        "but",    "by",
    "can",          "class",   "cover",    "create",   "did",     "do",        "does",   "each",
    "every",        "explain", "for",      "from",     "give",    "grade",     "had",    "has",
    "have",         "her",     "his",      "how",      "include", "including", "into",   "intro",
    "introduction", "its",     "learn",    "learning", "lesson",  "lessons",   "like",   "make",
    "makes",        "more",    "most",     "not",      "one",     "other",     "our",    "outline",
    "over",         "pages",   "please",   "quiz",     "she",     "short",     "should", "show",
    "some",         "student", "students", "such",     "teach",   "than",      "that",   "the",
    "their",        "them",    "then",     "there",    "these",   "they",      "this",   "those",
    "too",          "topic",   "under",    "until",    "use",     "using",     "very",   "was",
    "were",         "what",    "when",     "where",    "which",   "who",       "why",    "will",
    "with",         "work",    "works",    "write",    "you",     "your",      NULL,
};

static bool is_stopword(const char *word, size_t len)
{
    for (const char *const *w = stopwords; *w != NULL; w++)
        if (strlen(*w) == len && strncasecmp(*w, word, len) == 0)
            return true;
    return false;
}

static bool is_topical(const char *s, size_t len)
{
    size_t letters = 0;

    for (size_t i = 0; i < len; i++)
        letters += (unsigned char)s[i] >= 0x80 || isalpha((unsigned char)s[i]);
    return letters > 0 && len >= WORD_MIN_BYTES && !is_stopword(s, len);
}

static void add_word(struct arena *a, struct outline *o, const char *s, size_t len)
{
    const char *word = arena_memdup(a, s, utf8_prefix(s, len, WORD_CHARACTERS));

    for (int i = 0; i < o->word_count; i++)
        if (strcasecmp(o->words[i], word) == 0)
            return;
    o->words[o->word_count++] = word;
}

/* Where the word that begins at s ends: at s if none does. "it's" and "x-ray" are one. */
static const char *word_end(const char *s, const char *end)
{
    size_t size, next;

    while (s < end) {
        uint32_t c = decode(s, &size);
        bool joint = (c == '\'' || c == '-') && s + 1 < end && is_word(decode(s + 1, &next));

        if (!is_word(c) && !joint)
            break;
        s += size;
    }
    return s;
}

/* Two words with nothing but a space between them are one: "water cycle". */
static const char *pair_end(const char *s, const char *stop, const char *end)
{
    const char *next = stop + 1, *last = stop < end && *stop == ' ' ? word_end(next, end) : next;

    if (last > next && is_topical(next, (size_t)(last - next)) &&
        utf8_count(s, (size_t)(last - s)) <= WORD_CHARACTERS)
        return last;
    return stop;
}

static void find_words(struct arena *a, struct span outline, struct outline *o)
{
    const char *s = outline.text, *end = s + outline.len, *stop;
    size_t size;

    for (; s < end && o->word_count < OUTLINE_WORDS_MAX; s = stop) {
        bool begins = is_word(decode(s, &size));

        stop = begins ? word_end(s, end) : s + size;
        if (begins && is_topical(s, (size_t)(stop - s))) {
            stop = pair_end(s, stop, end);
            add_word(a, o, s, (size_t)(stop - s));
        }
    }
    if (o->word_count == 0)
        o->words[o->word_count++] = NO_WORD;
}

/* ---- the wishes ---- */

/* The first line that has the word in it, NULL if there is none. */
static const char *line_with(struct arena *a, const char *wishes, const char *word)
{
    while (*wishes) {
        size_t len = strcspn(wishes, "\n");
        const char *line = arena_memdup(a, wishes, len < LINE_MAX_BYTES ? len : LINE_MAX_BYTES);

        if (strcasestr(line, word) != NULL)
            return line;
        wishes += len + (wishes[len] == '\n');
    }
    return NULL;
}

/* The first number in the first such line, from min to max. */
static int number_in(struct arena *a, const char *wishes, const char *word, int min, int max,
                     int fallback)
{
    const char *line = line_with(a, wishes, word);
    long n;

    if (line == NULL)
        return fallback;
    line += strcspn(line, "0123456789");
    if (*line == '\0')
        return fallback;
    n = strtol(line, NULL, 10);
    return n < min ? min : n > max ? max : (int)n;
}

static bool is_wanted(struct arena *a, const char *wishes, const char *word)
{
    static const char *const refusals[] = {"no",    "not",  "without", "none",
                                           "false", "omit", "don't",   NULL};
    const char *line = line_with(a, wishes, word);
    char *rest, *part;

    if (line == NULL)
        return false;
    rest = arena_strdup(a, line);
    while ((part = strsep(&rest, " \t\r:;,.()*_-=")) != NULL)
        for (const char *const *r = refusals; *r != NULL; r++)
            if (strcasecmp(part, *r) == 0)
                return false;
    return true;
}

void outline_read(struct arena *a, const char *prompt, struct outline *o)
{
    struct span outline;
    const char *wishes = find_outline(prompt, &outline), *style = line_with(a, wishes, "style");

    *o = (struct outline){.title = make_title(a, outline)};
    find_words(a, outline, o);
    o->grade = number_in(a, wishes, "grade", 1, GRADE_MAX, GRADE_DEFAULT);
    o->sections =
        number_in(a, wishes, "section", SECTIONS_MIN, OUTLINE_SECTIONS_MAX, SECTIONS_DEFAULT);
    o->visual = style != NULL && strcasestr(style, "visual") != NULL;
    o->examples = is_wanted(a, wishes, "example");
    o->exercises = is_wanted(a, wishes, "exercise");
}
