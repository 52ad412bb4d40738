/*
 * Texts: UTF-8, Markdown, points in time, identifiers, and the lines of the log.
 *
 * Input: a text.
 * Asserted: valid is what another decoder says; what is stored is storable, and the same if it was;
 * a time that is read is written and read as the same; an event is one line, whatever is in it.
 *
 * Covers: common/utf8.c common/instant.c common/uuid.c common/log.c
 * fcgi/lessons/generator/markdown.c
 */
#include <ctype.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/instant.h"
#include "common/json.h"
#include "common/log.h"
#include "common/utf8.h"
#include "common/uuid.h"
#include "fcgi/lessons/generator/markdown.h"
#include "tests/fuzz/lib/fuzz.h"

enum { INPUT_MAX = 32768, TITLE_MAX = 200, ITEMS_MAX = 20, LINE_MAX_BYTES = 1 << 18 };

static int log_file, error_output;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    log_file = memfd_create("log", MFD_CLOEXEC);
    error_output = dup(STDERR_FILENO);
    must(log_file >= 0 && error_output >= 0);
    return 0;
}

/* ---- UTF-8 ---- */

/* By what the code points are, not by tables of bytes. */
static bool decodes(const uint8_t *s, size_t len)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

    while (len > 0) {
        size_t more = *s < 0x80 ? 0 : *s >> 5 == 6 ? 1 : *s >> 4 == 14 ? 2 : *s >> 3 == 30 ? 3 : 4;
        uint32_t code = more == 0 ? *s : *s & (0x3FU >> more);

        if (more == 4 || more >= len)
            return false;
        for (size_t i = 1; i <= more; i++) {
            if (s[i] >> 6 != 2)
                return false;
            code = code << 6 | (s[i] & 0x3FU);
        }
        if (code < least[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
            return false;
        s += more + 1;
        len -= more + 1;
    }
    return true;
}

static void check_valid(const char *s, size_t len)
{
    size_t count = utf8_count(s, len), blank = utf8_blank_prefix(s, len);

    must(utf8_prefix(s, len, count) == len && utf8_prefix(s, len, count + 1) == len);
    if (count > 0)
        must(utf8_valid(s, utf8_prefix(s, len, count / 2)));
    must(blank <= len && utf8_valid(s, blank) && utf8_blank_prefix(s + blank, len - blank) == 0);
    must((blank == len) == (utf8_blank_suffix(s, len) == len));
    must(utf8_blank_suffix(s, len) <= len);
    must(!utf8_alnum(s, len) || blank == 0);
}

static void check_utf8(struct arena *a, const char *s, size_t len)
{
    struct buf *stored = buf_create(a, 3 * len);
    size_t replaced = utf8_store(stored, s, len);

    must(utf8_valid(s, len) == decodes((const uint8_t *)s, len));
    must(!stored->full && fuzz_storable(buf_text(stored), stored->len));
    must((replaced == 0) == fuzz_storable(s, len));
    if (replaced == 0)
        must(stored->len == len && (len == 0 || memcmp(stored->data, s, len) == 0));
    check_valid(buf_text(stored), stored->len);
}

/* ---- Markdown, of what is stored ---- */

static void check_markdown(struct arena *a, const char *text)
{
    const char *title = markdown_title(a, text);
    struct buf *list = buf_create(a, 1 << 20);
    struct json_out o = {list, false};
    struct json_object *tree;
    struct err e;

    if (title != NULL) {
        size_t len = strlen(title);

        must(len > 0 && strstr(text, title) != NULL && strchr(title, '\n') == NULL);
        must(utf8_count(title, len) <= TITLE_MAX);
        must(utf8_valid(title, len) || !utf8_valid(text, strlen(text)));
    }
    must(markdown_sections(text) >= 1);
    markdown_put_list(&o, NULL, text, "key concept");
    tree = json_parse(a, buf_text(list), list->len, &e);
    must(json_is_array(tree) && json_length(tree) <= ITEMS_MAX);
    for (size_t i = 0; i < json_length(tree); i++)
        must(strlen(json_text(json_item(tree, i))) > 0);
}

/* ---- times and ids ---- */

static void check_words(struct arena *a, const char *text)
{
    char id[UUID_SIZE];
    int64_t at, again;

    uuid_create(id);
    must(uuid_valid(id));
    if (instant_parse(text, &at)) {
        must(at >= INSTANT_FIRST - INSTANT_DAY && strlen(instant_text(a, at)) == 32);
        must(instant_parse(instant_text(a, at), &again) && again == at);
    }
    if (uuid_valid(text)) {
        must(strlen(text) == UUID_SIZE - 1);
        for (const char *c = text; *c; c++)
            must(isxdigit((unsigned char)*c) || *c == '-');
    }
}

/* ---- the log ---- */

static void set_format(bool json)
{
    static char format[] = "LOG_FORMAT=json";
    static char *settings[] = {format, NULL}, *none[] = {NULL};
    char **before = environ;

    environ = json ? settings : none;
    log_init("fuzz");
    environ = before;
}

static void check_line(struct arena *a, const char *line, size_t len, bool json)
{
    struct err e;

    must(len > 0 && line[len - 1] == '\n' && fuzz_storable(line, len));
    must(fuzz_contains(line, len, "happened") && fuzz_contains(line, len, "last"));
    for (size_t i = 0; i + 1 < len; i++) {
        must((unsigned char)line[i] >= ' ' && line[i] != 0x7f);
        must((unsigned char)line[i] != 0xC2 || (unsigned char)line[i + 1] >= 0xA0);
    }
    if (json)
        must(json_parse_client(a, line, len, &e) != NULL);
}

static void check_log(struct arena *a, const char *text, bool json)
{
    static char line[LINE_MAX_BYTES];
    ssize_t len;

    set_format(json);
    must(ftruncate(log_file, 0) == 0 && lseek(log_file, 0, SEEK_SET) == 0);
    must(dup2(log_file, STDERR_FILENO) == STDERR_FILENO);
    log_warn(text, "happened", LOG_TEXT("text", text), LOG_INT("n", -1), LOG_TEXT("last", text));
    must(dup2(error_output, STDERR_FILENO) == STDERR_FILENO);
    len = pread(log_file, line, sizeof line, 0);
    must(len > 0);
    check_line(a, line, (size_t)len, json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a;
    const char *text;

    if (size > INPUT_MAX)
        return 0;
    a = arena_create();
    text = arena_memdup(a, (const char *)data, size);
    check_utf8(a, text, size);
    check_words(a, text);
    check_markdown(a, text);
    check_log(a, text, size % 2 == 0);
    arena_destroy(a);
    return 0;
}
