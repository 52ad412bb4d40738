/*
 * JSON from clients and from providers, and what we write.
 *
 * Input: a text.
 * Asserted: what a client may send is storable, prints as JSON, and that reads and prints the same;
 * any bytes written as a string are read back.
 *
 * Covers: common/json.c common/buf.c
 */
#include "common/json.h"

#include <math.h>
#include <string.h>

#include "tests/fuzz/lib/fuzz.h"

enum { INPUT_MAX = 65536, LEVELS = 4 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct arena *a = arena_create();
    struct err e;

    (void)argc;
    (void)argv;
    must(json_parse_file(a, "fcgi/lessons/generator/llm/providers.json", &e) != NULL);
    must(json_parse_file(a, "tests/fuzz/json.c", &e) == NULL && e.kind == ERR_INPUT);
    must(json_parse_file(a, "tests/fuzz/none", &e) == NULL && e.kind == ERR_INPUT);
    arena_destroy(a);
    return 0;
}

/* All that can be asked of a node: one kind of thing it is. */
static void ask(struct json_object *node, int levels)
{
    size_t len;
    int64_t whole;
    double number;
    bool flag, is_whole = json_int(node, &whole);
    const char *text = json_bytes(node, &len);

    must(!is_whole || json_number(node, &number));
    must(!json_number(node, &number) || isfinite(number));
    must(json_is_object(node) + json_is_array(node) + json_is_null(node) + (text != NULL) +
             json_number(node, &number) + json_flag(node, &flag) <=
         1);
    must(text == NULL || strlen(text) <= len);
    for (size_t i = 0; levels > 0 && i < json_length(node); i++)
        ask(json_item(node, i), levels - 1);
    must(json_item(node, json_length(node)) == NULL);
    if (json_is_object(node)) {
        static const char *const known[] = {"a", "b", "error", "0", NULL};

        json_unknown_member(node, known);
        for (size_t i = 0; levels > 0 && known[i] != NULL; i++)
            ask(json_at(node, known[i], NULL), levels - 1);
    }
    json_at(node, "error", "0", "message", NULL);
    json_at(node, "0", "1", NULL);
}

static void read_client(struct arena *a, const char *text, size_t size)
{
    static const char twice[] = ": given twice";
    struct err e = {.kind = ERR_NONE};
    struct json_object *tree = json_parse_client(a, text, size, &e);
    const char *printed, *again;

    must((tree != NULL) == (e.kind == ERR_NONE));
    if (tree == NULL) {
        must(e.kind == ERR_INPUT && strlen(e.text) >= sizeof twice);
        must(strncmp(e.text, "json: ", 6) == 0 ||
             strcmp(e.text + strlen(e.text) - (sizeof twice - 1), twice) == 0);
        return;
    }
    printed = arena_strdup(a, json_print(tree));
    must(fuzz_storable(text, size) && fuzz_storable(printed, strlen(printed)));
    ask(tree, LEVELS);
    tree = json_parse_client(a, printed, strlen(printed), &e);
    must(tree != NULL);
    again = json_print(tree);
    must(strcmp(printed, again) == 0);
    must(json_parse(a, text, size, &e) != NULL);
}

static void write(struct arena *a, const char *text, size_t size)
{
    struct buf *b = buf_create(a, 6 * INPUT_MAX + 256), *few = buf_create(a, 64);
    struct json_out o = {b, false}, small = {few, false};
    struct json_object *tree;
    const char *back;
    struct err e;
    size_t len;

    json_begin(&o, NULL, '{');
    json_put_bytes(&o, "text", text, size);
    json_put_number(&o, "number", (double)size / 3);
    json_put_number(&o, "none", NAN);
    json_put_bool(&o, "flag", size > 3);
    json_put_text(&o, "null", NULL);
    json_put_text(&o, "word", "w");
    json_begin(&o, "list", '[');
    json_put_int(&o, NULL, (int64_t)size);
    json_put_raw(&o, NULL, NULL);
    json_end(&o, ']');
    json_end(&o, '}');
    must(!b->full);
    tree = json_parse(a, buf_text(b), b->len, &e);
    back = json_bytes(json_at(tree, "text", NULL), &len);
    must(back != NULL && len == size && (size == 0 || memcmp(back, text, size) == 0));
    if (fuzz_storable(text, size))
        must(json_parse_client(a, buf_text(b), b->len, &e) != NULL);
    json_put_bytes(&small, NULL, text, size); /* with too little room */
    must(few->len <= 64 && buf_text(few)[few->len] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct arena *a;
    struct err e;

    if (size > INPUT_MAX)
        return 0;
    a = arena_create();
    read_client(a, text, size);
    ask(json_parse(a, text, size, &e), LEVELS);
    write(a, text, size);
    arena_destroy(a);
    return 0;
}
