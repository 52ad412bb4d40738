#include "fcgi/lessons/generator/markdown.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "common/utf8.h"

enum { TITLE_MAX_CHARACTERS = 200, ITEMS_MAX = 20 };

struct line {
    const char *text; /* without leading spaces */
    size_t len;       /* without trailing spaces */
    bool fenced;      /* in a code block, or its fence */
};

struct lines {
    const char *next;
    bool in_fence;
};

static bool next_line(struct lines *l, struct line *line)
{
    size_t len;

    if (*l->next == '\0')
        return false;
    len = strcspn(l->next, "\n");
    line->text = l->next;
    line->len = len;
    l->next += len + (l->next[len] == '\n');
    while (line->len > 0 && isspace((unsigned char)*line->text)) {
        line->text++;
        line->len--;
    }
    while (line->len > 0 && isspace((unsigned char)line->text[line->len - 1]))
        line->len--;
    line->fenced = l->in_fence;
    if (line->len >= 3 &&
        (memcmp(line->text, "```", 3) == 0 || memcmp(line->text, "~~~", 3) == 0)) {
        l->in_fence = !l->in_fence;
        line->fenced = true;
    }
    return true;
}

/* The level of a heading, 0 if the line is none; *text is what stands in it. */
static int heading(const struct line *line, const char **text, size_t *len)
{
    size_t level = 0, end = line->len;

    while (level < line->len && line->text[level] == '#')
        level++;
    if (line->fenced || level == 0 || level > 6 || level == line->len ||
        (line->text[level] != ' ' && line->text[level] != '\t'))
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
    struct lines l = {text, false};
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
    struct lines l = {text, false};
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

static bool contains(const struct line *line, const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i + len <= line->len; i++)
        if (strncasecmp(line->text + i, word, len) == 0)
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
    if (marker == 0 || marker >= line->len || line->text[marker] != ' ')
        return 0;
    *text = line->text + marker + 1;
    return line->len - marker - 1;
}

void markdown_put_list(struct json_out *o, const char *key, const char *text, const char *word)
{
    struct lines l = {text, false};
    struct line line;
    const char *part;
    size_t len;
    bool found = false;
    int n = 0;

    json_begin(o, key, '[');
    while (n < ITEMS_MAX && next_line(&l, &line)) {
        if (!found) {
            found = !line.fenced && item(&line, &part) == 0 && contains(&line, word);
            continue;
        }
        if ((len = item(&line, &part)) > 0) {
            json_put_bytes(o, NULL, part, len);
            n++;
        } else if (line.len > 0 && (n > 0 || heading(&line, &part, &len) > 0)) {
            break; /* the list is over, or there is none before the next heading */
        }
    }
    json_end(o, ']');
}
