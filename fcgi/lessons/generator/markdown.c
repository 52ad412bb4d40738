#include "fcgi/lessons/generator/markdown.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "common/utf8.h"

enum { TITLE_MAX_CHARACTERS = 200, ITEMS_MAX = 20, CODE_INDENT = 4, FENCE_MIN = 3 };

struct line {
    const char *text; /* without leading spaces */
    size_t len;       /* without trailing spaces */
    size_t indent;    /* columns */
    bool fenced;      /* in a code block, or its fence */
};

struct lines {
    const char *next;
    size_t fence;    /* how long the open one is; 0: none is open */
    char fence_char; /* ` or ~ */
};

/*
 * CommonMark, 4.5: a fence is closed by one of its kind, at least as long, with nothing behind it;
 * what stands behind an opening one of backticks has none.
 */
static bool is_fence(struct lines *l, const struct line *line)
{
    char c = (char)(line->len > 0 ? line->text[0] : '\0');
    size_t n = 0;

    while (n < line->len && line->text[n] == c)
        n++;
    if ((c != '`' && c != '~') || n < FENCE_MIN)
        return false;
    if (l->fence > 0) {
        if (c == l->fence_char && n >= l->fence && n == line->len)
            l->fence = 0;
    } else if (c == '~' || memchr(line->text + n, '`', line->len - n) == NULL) {
        l->fence = n;
        l->fence_char = c;
    } else {
        return false;
    }
    return true;
}

static bool next_line(struct lines *l, struct line *line)
{
    size_t len;

    if (*l->next == '\0')
        return false;
    len = strcspn(l->next, "\n");
    *line = (struct line){.text = l->next, .len = len};
    l->next += len + (l->next[len] == '\n');
    while (line->len > 0 && isspace((unsigned char)*line->text)) {
        line->indent += *line->text == '\t' ? CODE_INDENT : 1;
        line->text++;
        line->len--;
    }
    while (line->len > 0 && isspace((unsigned char)line->text[line->len - 1]))
        line->len--;
    line->fenced = l->fence > 0;
    if (is_fence(l, line))
        line->fenced = true;
    return true;
}

/* The level of a heading, 0 if the line is none; *text is what stands in it. */
static int heading(const struct line *line, const char **text, size_t *len)
{
    size_t level = 0, end = line->len;

    while (level < line->len && line->text[level] == '#')
        level++;
    if (line->fenced || line->indent >= CODE_INDENT || level == 0 || level > 6 ||
        level == line->len || (line->text[level] != ' ' && line->text[level] != '\t'))
        return 0;
    *text = line->text + level;
    while (end > level && line->text[end - 1] == '#')
        end--;
    if (end > level && !isspace((unsigned char)line->text[end - 1]))
        end = line->len; /* "Intro to C#" is no closing sequence (CommonMark, 4.2) */
    *len = end - level;
    while (*len > 0 && isspace((unsigned char)**text)) {
        (*text)++;
        (*len)--;
    }
    while (*len > 0 && isspace((unsigned char)(*text)[*len - 1]))
        (*len)--;
    return (int)level;
}

const char *markdown_title(struct arena *a, const char *text)
{
    struct lines l = {.next = text};
    struct line line;
    const char *title;
    size_t len;

    while (next_line(&l, &line))
        if (heading(&line, &title, &len) == 1 && len > 0)
            return arena_memdup(a, title, utf8_prefix(title, len, TITLE_MAX_CHARACTERS));
    return NULL;
}

static int count_headings(const char *text, int level)
{
    struct lines l = {.next = text};
    struct line line;
    const char *title;
    size_t len;
    int n = 0;

    while (next_line(&l, &line))
        n += heading(&line, &title, &len) == level;
    return n;
}

int markdown_sections(const char *text)
{
    int n = count_headings(text, 2);

    if (n == 0)
        n = count_headings(text, 3);
    return n ? n : 1;
}

/* word: of small letters. */
static bool contains(const struct line *line, const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i + len <= line->len; i++)
        if (tolower((unsigned char)line->text[i]) == *word &&
            strncasecmp(line->text + i, word, len) == 0)
            return true;
    return false;
}

/* What stands behind a list marker; 0 if the line is no item. */
static size_t item(const struct line *line, const char **text)
{
    size_t marker = 0;

    if (line->fenced || line->len < 3)
        return 0;
    if (strchr("-*+", line->text[0]) != NULL)
        marker = 1;
    else
        while (marker < line->len && isdigit((unsigned char)line->text[marker]))
            marker++;
    if (marker > 0 && isdigit((unsigned char)line->text[0]))
        marker = line->text[marker] == '.' || line->text[marker] == ')' ? marker + 1 : 0;
    if (marker == 0 || marker >= line->len || !isblank((unsigned char)line->text[marker]))
        return 0;
    while (isblank((unsigned char)line->text[marker])) /* the line ends with none */
        marker++;
    *text = line->text + marker;
    return line->len - marker;
}

/* How many items there are; without a list before the next heading the search goes on there. */
static int put_items(struct json_out *o, const char *text, const char *word, bool under_heading)
{
    struct lines l = {.next = text};
    struct line line;
    const char *part;
    size_t len;
    bool found = false;
    int n = 0;

    while (n < ITEMS_MAX && next_line(&l, &line)) {
        bool is_heading = heading(&line, &part, &len) > 0;

        len = item(&line, &part);
        if (n == 0 && (!found || is_heading)) {
            found =
                !line.fenced && len == 0 && (is_heading || !under_heading) && contains(&line, word);
        } else if (len > 0) {
            json_put_bytes(o, NULL, part, len);
            n++;
        } else if (n > 0 && line.len > 0) {
            break; /* the list is over */
        }
    }
    return n;
}

void markdown_put_list(struct json_out *o, const char *key, const char *text, const char *word)
{
    json_begin(o, key, '[');
    if (put_items(o, text, word, true) == 0)
        put_items(o, text, word, false);
    json_end(o, ']');
}
