#include "fcgi/sample/tokens.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum { TOKEN_MAX_BYTES = 6 };

static bool is_space(char c)
{
    return c != '\0' && strchr(" \t\r\n", c) != NULL;
}

static bool is_word(char c)
{
    return (unsigned char)c >= 0x80 || isalnum((unsigned char)c);
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Where the token that begins at i ends; len if there is only space left. */
static size_t token_end(const char *text, size_t len, size_t i)
{
    size_t begin;
    bool word;

    while (i < len && is_space(text[i]))
        i++;
    if (i == len)
        return len;
    begin = i;
    word = is_word(text[i]);
    while (i < len && !is_space(text[i]) && is_word(text[i]) == word) {
        size_t next = i + 1;

        while (next < len && is_continuation(text[next]))
            next++;
        if (next - begin > TOKEN_MAX_BYTES)
            break;
        i = next;
    }
    return i;
}

/* The end of the first `tokens` tokens, and how many there really were. */
static size_t walk(const char *text, size_t len, size_t tokens, size_t *seen)
{
    size_t end = 0;

    while (len > 0 && is_space(text[len - 1]))
        len--;
    for (*seen = 0; *seen < tokens && end < len; ++*seen)
        end = token_end(text, len, end);
    return end;
}

size_t tokens_count(const char *text, size_t len)
{
    size_t seen;

    walk(text, len, len, &seen);
    return seen;
}

size_t tokens_prefix(const char *text, size_t len, size_t tokens)
{
    size_t seen, end = walk(text, len, tokens, &seen), rest = end;

    while (rest < len && is_space(text[rest]))
        rest++;
    return rest == len ? len : end;
}
