#include "fcgi/lessons/request.h"

#include <stdio.h>
#include <string.h>

#include "common/redact.h"
#include "common/utf8.h"

enum { MODEL_MAX = 200, WORDS_SIZE = 160 /* those of a member, joined */ };

static const char *const members[] = {"outline",       "gradeLevel",      "sections",
                                      "learningStyle", "includeExamples", "includeExercises",
                                      "provider",      "model",           NULL};
static const char *const grades[] = {"2", "3", "4", "5", "6", "7", "8", NULL};
static const char *const styles[] = {"reading", "reading and visual", NULL};
static const char *const providers[] = {"openai", "anthropic", "groq",   "gemini", "huggingface",
                                        "ollama", "qwen",      "sample", NULL};

static bool check_members(struct json_object *body, const char *const names[], struct err *e)
{
    const char *unknown = json_unknown_member(body, names);

    return unknown == NULL || err_set(e, ERR_INPUT, "%s: unknown member", err_name(unknown).text);
}

/* One of the words; absent gives the first, or NULL if it is not required. */
static bool read_word(struct json_object *body, const char *name, const char *const words[],
                      const char *fallback, const char **value, struct err *e)
{
    struct json_object *node = json_at(body, name, NULL);
    const char *text = json_text(node);
    char known[WORDS_SIZE] = "";
    size_t len = 0;

    *value = fallback;
    if (json_is_null(node))
        return true;
    for (int i = 0; words[i] != NULL; i++) {
        if (text != NULL && strcmp(words[i], text) == 0) {
            *value = words[i];
            return true;
        }
        if (len < sizeof known)
            len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", i > 0 ? ", " : "",
                                    words[i]);
    }
    return err_set(e, ERR_INPUT, "%s: one of these expected: %s", name, known);
}

static bool read_flag(struct json_object *body, const char *name, bool *value, struct err *e)
{
    struct json_object *node = json_at(body, name, NULL);

    *value = true;
    return json_is_null(node) || json_flag(node, value) ||
           err_set(e, ERR_INPUT, "%s: true or false expected", name);
}

static bool read_sections(struct json_object *body, int64_t *value, struct err *e)
{
    struct json_object *node = json_at(body, "sections", NULL);

    *value = 4;
    if (json_is_null(node) || (json_int(node, value) && *value >= 4 && *value <= 8))
        return true;
    return err_set(e, ERR_INPUT, "sections: whole number from 4 to 8 expected");
}

static bool is_blank(const char *s)
{
    return utf8_blank_prefix(s, strlen(s)) == strlen(s);
}

static bool read_model(struct json_object *body, const char **value, struct err *e)
{
    struct json_object *node = json_at(body, "model", NULL);

    *value = json_text(node);
    if (json_is_null(node))
        return true;
    if (*value == NULL || is_blank(*value) || strlen(*value) > MODEL_MAX)
        return err_set(e, ERR_INPUT, "model: text of 1 to %d bytes expected", MODEL_MAX);
    return true;
}

static bool read_outline(struct arena *a, struct json_object *body, struct lesson_request *r,
                         struct err *e)
{
    const char *text = json_text(json_at(body, "outline", NULL)), *from = text;
    size_t len, title;

    if (json_is_null(json_at(body, "outline", NULL)))
        return err_set(e, ERR_INPUT, "outline: required");
    if (text == NULL)
        return err_set(e, ERR_INPUT, "outline: text expected");
    if (is_blank(text))
        return err_set(e, ERR_INPUT, "outline: must not be blank");
    from += utf8_blank_prefix(from, strlen(from));
    len = strlen(from) - utf8_blank_suffix(from, strlen(from));
    if (utf8_count(from, len) > REQUEST_OUTLINE_MAX)
        return err_set(e, ERR_INPUT, "outline: at most %d characters", REQUEST_OUTLINE_MAX);
    r->outline = redact(a, arena_memdup(a, from, len), len, &len);
    title = utf8_prefix(r->outline, len, REQUEST_TITLE_MAX); /* half a secret would not be seen */
    r->title = arena_printf(a, "%.*s%s", (int)title, r->outline, title < len ? "…" : "");
    return true;
}

bool request_read_regenerate(struct json_object *body, const char **provider, const char **model,
                             struct err *e)
{
    static const char *const names[] = {"provider", "model", NULL};

    return check_members(body, names, e) &&
           read_word(body, "provider", providers, NULL, provider, e) && read_model(body, model, e);
}

bool request_read(struct arena *a, struct json_object *body, struct lesson_request *r,
                  struct err *e)
{
    const char *grade, *style, *provider, *model;
    bool examples, exercises;
    int64_t sections;
    struct buf *options = buf_create(a, 4096);
    struct json_out o = {options, false};

    if (!check_members(body, members, e) || !read_outline(a, body, r, e) ||
        !read_word(body, "gradeLevel", grades, grades[0], &grade, e) ||
        !read_sections(body, &sections, e) ||
        !read_word(body, "learningStyle", styles, styles[0], &style, e) ||
        !read_flag(body, "includeExamples", &examples, e) ||
        !read_flag(body, "includeExercises", &exercises, e) ||
        !read_word(body, "provider", providers, NULL, &provider, e) || !read_model(body, &model, e))
        return false;
    json_begin(&o, NULL, '{');
    json_put_text(&o, "gradeLevel", grade);
    json_put_int(&o, "sections", sections);
    json_put_text(&o, "learningStyle", style);
    json_put_bool(&o, "includeExamples", examples);
    json_put_bool(&o, "includeExercises", exercises);
    if (provider != NULL)
        json_put_text(&o, "provider", provider);
    if (model != NULL)
        json_put_text(&o, "model", model);
    json_end(&o, '}');
    r->options = buf_text(options);
    return true;
}
