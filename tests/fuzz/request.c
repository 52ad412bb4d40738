/*
 * The body of POST /api/lessons, and the way of what it says to the requests to providers.
 *
 * Input: the body.
 * Asserted: what is taken is within its limits, storable and without the configured secret; each
 * provider's request is JSON that says exactly the prompt.
 *
 * Covers: fcgi/lessons/request.c fcgi/lessons/generator/prompt.c
 */
#include "fcgi/lessons/request.h"

#include <math.h>
#include <string.h>

#include "common/redact.h"
#include "common/utf8.h"
#include "fcgi/lessons/generator/prompt.h"
#include "tests/fuzz/lib/fuzz.h"

#define SECRET "planted-secret-4711"

enum { INPUT_MAX = 1 << 17 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    redact_secret(SECRET);
    return 0;
}

static void build(struct arena *a, const struct llm_provider *p, const char *model,
                  const struct llm_prompt *prompt)
{
    struct llm_endpoint endpoint = {
        .provider = p,
        .name = p->name,
        .base_url = "https://provider.test",
        .model = model,
        .key = "key",
        .max_tokens_name = "max_tokens",
        .extra = "",
        .options = "",
        .max_tokens = 100,
        .temperature = NAN,
    };
    struct llm_request r;
    struct json_object *tree;
    const char *user;
    struct err e;

    p->build(a, &endpoint, prompt, &r);
    tree = json_parse_client(a, r.body, strlen(r.body), &e);
    must(json_is_object(tree));
    must(json_parse_client(a, r.parameters, strlen(r.parameters), &e) != NULL);
    user = json_text(json_at(tree, "messages", "0", "content", NULL));
    if (user == NULL || strcmp(user, prompt->user) != 0)
        user = json_text(json_at(tree, "messages", "1", "content", NULL));
    if (user == NULL)
        user = json_text(json_at(tree, "contents", "0", "parts", "0", "text", NULL));
    must(user != NULL && strcmp(user, prompt->user) == 0);
    for (const char *c = r.url; *c; c++)
        must(*c > ' ' && *c < 0x7f);
    for (size_t i = 0; r.headers[i] != NULL; i++)
        must(strpbrk(r.headers[i], "\r\n") == NULL);
}

static void generate(struct arena *a, const struct lesson_request *r)
{
    struct prompt_options o;
    struct llm_prompt prompt;
    struct err e;
    struct json_object *options = json_parse_client(a, r->options, strlen(r->options), &e);
    const char *model = json_text(json_at(options, "model", NULL));

    must(json_is_object(options));
    prompt_read_options(options, &o);
    must(o.sections >= 4 && o.sections <= 8 && strlen(o.grade_level) == 1);
    prompt_build(a, r->outline, &o, &prompt);
    must(strstr(prompt.user, r->outline) != NULL && strstr(prompt.user, "Use Markdown.") != NULL);
    for (const struct llm_provider *const *p = llm_providers; *p != NULL; p++)
        build(a, *p, model ? model : "m", &prompt);
}

static void check(const struct lesson_request *r)
{
    size_t len = strlen(r->outline), title = strlen(r->title);

    must(len > 0 && fuzz_storable(r->outline, len) && fuzz_storable(r->title, title));
    must(utf8_blank_prefix(r->outline, len) == 0 && utf8_blank_suffix(r->outline, len) == 0);
    must(utf8_count(r->title, title) <= REQUEST_TITLE_MAX + 1);
    must(!fuzz_contains(r->outline, len, SECRET) && !fuzz_contains(r->title, title, SECRET));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *provider, *model;
    struct lesson_request r = {0};
    struct json_object *body;
    struct arena *a;
    struct err e = {.kind = ERR_NONE};

    if (size > INPUT_MAX)
        return 0;
    a = arena_create();
    body = json_parse_client(a, (const char *)data, size, &e);
    if (json_is_object(body)) {
        if (request_read(a, body, &r, &e)) {
            check(&r);
            generate(a, &r);
        } else {
            must(e.kind == ERR_INPUT && strchr(e.text, ':') != NULL);
        }
        if (request_read_regenerate(body, &provider, &model, &e))
            must(model == NULL || *model != '\0');
    }
    arena_destroy(a);
    return 0;
}
