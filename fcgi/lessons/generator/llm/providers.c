#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "fcgi/lessons/generator/llm/chat.h"
#include "fcgi/lessons/generator/llm/url.h"

/* A new provider: a file beside this one, two lines here, its data in providers.json, and its
 * settings in common/config.c. */
extern const struct llm_provider llm_gemini, llm_groq, llm_qwen, llm_huggingface, llm_ollama,
    llm_openai, llm_anthropic, llm_sample;

const struct llm_provider *const llm_providers[] = {
    &llm_gemini,    &llm_groq,   &llm_qwen, &llm_huggingface, &llm_ollama, &llm_openai,
    &llm_anthropic, &llm_sample, NULL,
};

enum { COUNT = sizeof llm_providers / sizeof *llm_providers - 1, ATTEMPT_TIMEOUT_MAX = 3600 };

#define TEMPERATURE_MAX 2.0
#define SAMPLE "sample"

/* What all endpoints are made from. */
struct source {
    const char *path; /* PROVIDERS_FILE, and what is in it */
    struct json_object *file;
    int64_t max_tokens;
    double temperature;
    long timeout_ms;
};

/* ---- one endpoint ---- */

/* OPENAI_MODEL */
static const char *setting_name(struct arena *a, const char *provider, const char *what)
{
    char *name = arena_printf(a, "%s_%s", provider, what);

    for (char *p = name; *p; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
    return name;
}

/* The setting that is set for the base URL, or would be. */
static const char *base_url_setting(struct arena *a, const struct llm_provider *p)
{
    if (p != &llm_ollama)
        return setting_name(a, p->name, "BASE_URL");
    return config_text("OLLAMA_HOST") ? "OLLAMA_HOST" : "OLLAMA_URL";
}

/* The word `sample` for a base URL: only who speaks the sample provider's protocol can call it. */
static const char *sample_url(struct arena *a, const struct llm_provider *p, const char *setting,
                              struct err *e)
{
    const char *url = config_text("SAMPLE_BASE_URL");

    if (p->build != chat_build)
        err_set(e, ERR_INPUT,
                "%s: the sample provider speaks OpenAI's protocol, not that of %s; use "
                "OPENAI_BASE_URL=sample",
                setting, p->name);
    else if (url == NULL)
        err_set(e, ERR_INPUT, "%s: is `sample`, but SAMPLE_BASE_URL is unset", setting);
    else
        return url_base(a, "SAMPLE_BASE_URL", url, e);
    return NULL;
}

static bool load_base_url(struct arena *a, const struct source *s, struct json_object *data,
                          struct llm_endpoint *endpoint, struct err *e)
{
    const struct llm_provider *p = endpoint->provider;
    const char *setting = base_url_setting(a, p), *value = config_text(setting);

    endpoint->configured = endpoint->key != NULL || value != NULL;
    endpoint->private_allowed = value != NULL;
    if (value == NULL) {
        value = json_text(json_at(data, "base_url", NULL));
        setting = arena_printf(a, "%s: %s.base_url", s->path, p->name);
    } else if (strcmp(value, SAMPLE) == 0 && p != &llm_sample) {
        endpoint->base_url = sample_url(a, p, setting, e);
        return endpoint->base_url != NULL;
    }
    if (value == NULL && p == &llm_sample)
        endpoint->base_url = ""; /* only the setting knows where it is */
    else if (value == NULL)
        return err_set(e, ERR_INPUT, "%s: text expected", setting);
    else if (p == &llm_ollama)
        endpoint->base_url = url_ollama(a, setting, value, e);
    else
        endpoint->base_url = url_base(a, setting, value, e);
    return endpoint->base_url != NULL;
}

/* The members of an object as text, without its braces. */
static bool load_members(struct arena *a, const struct source *s, struct json_object *data,
                         const char *name, const struct llm_endpoint *endpoint, const char **out,
                         struct err *e)
{
    struct json_object *node = json_at(data, name, NULL);
    const char *text;

    *out = "";
    if (json_is_null(node))
        return true;
    if (!json_is_object(node))
        return err_set(e, ERR_INPUT, "%s: %s.%s: object expected", s->path, endpoint->name, name);
    text = json_print(node);
    *out = arena_memdup(a, text + 1, strlen(text) - 2);
    return true;
}

static bool load_timeout(const struct source *s, struct json_object *data,
                         struct llm_endpoint *endpoint, struct err *e)
{
    struct json_object *node = json_at(data, "attempt_timeout_seconds", NULL);
    int64_t seconds;

    endpoint->attempt_timeout_ms = s->timeout_ms;
    if (json_is_null(node))
        return true;
    if (!json_int(node, &seconds) || seconds < 1 || seconds > ATTEMPT_TIMEOUT_MAX)
        return err_set(e, ERR_INPUT, "%s: %s.attempt_timeout_seconds: number from 1 to %d expected",
                       s->path, endpoint->name, ATTEMPT_TIMEOUT_MAX);
    endpoint->attempt_timeout_ms = (long)seconds * 1000;
    return true;
}

static bool load_names(struct arena *a, const struct source *s, struct json_object *data,
                       struct llm_endpoint *endpoint, struct err *e)
{
    endpoint->model = config_text(setting_name(a, endpoint->name, "MODEL"));
    if (endpoint->model == NULL)
        endpoint->model = json_text(json_at(data, "model", NULL));
    if (endpoint->model == NULL || *endpoint->model == '\0')
        return err_set(e, ERR_INPUT, "%s: %s.model: text expected", s->path, endpoint->name);
    endpoint->max_tokens_name = json_text(json_at(data, "max_tokens_name", NULL));
    if (endpoint->max_tokens_name == NULL || *endpoint->max_tokens_name == '\0')
        return err_set(e, ERR_INPUT, "%s: %s.max_tokens_name: text expected", s->path,
                       endpoint->name);
    return true;
}

static const char *find_key(const struct llm_provider *p)
{
    for (const char *const *name = p->key_settings; *name != NULL; name++)
        if (config_text(*name) != NULL)
            return config_text(*name);
    return NULL;
}

static bool load(struct arena *a, const struct source *s, const struct llm_provider *p,
                 struct llm_endpoint *endpoint, struct err *e)
{
    static const char *const members[] = {
        "base_url", "model", "max_tokens_name", "attempt_timeout_seconds", "extra", "options", NULL,
    };
    struct json_object *data = json_at(s->file, p->name, NULL);
    const char *unknown;

    *endpoint = (struct llm_endpoint){.provider = p,
                                      .name = p->name,
                                      .key = find_key(p),
                                      .max_tokens = s->max_tokens,
                                      .temperature = s->temperature};
    if (!json_is_object(data))
        return err_set(e, ERR_INPUT, "%s: %s: object expected", s->path, p->name);
    if ((unknown = json_unknown_member(data, members)) != NULL)
        return err_set(e, ERR_INPUT, "%s: %s.%.60s: no such member", s->path, p->name, unknown);
    return load_names(a, s, data, endpoint, e) && load_base_url(a, s, data, endpoint, e) &&
           load_timeout(s, data, endpoint, e) &&
           load_members(a, s, data, "extra", endpoint, &endpoint->extra, e) &&
           load_members(a, s, data, "options", endpoint, &endpoint->options, e);
}

/* ---- all of them ---- */

static bool read_temperature(double *temperature, struct err *e)
{
    const char *text = config_text("LLM_TEMPERATURE");
    char *end;

    *temperature = NAN;
    if (text == NULL)
        return true;
    *temperature = strtod(text, &end);
    /* strtod also takes blanks, signs, infinities and hexadecimal numbers */
    if (strspn(text, "0123456789.") != strlen(text) || *end != '\0' || end == text ||
        *temperature > TEMPERATURE_MAX)
        return err_set(e, ERR_INPUT, "LLM_TEMPERATURE: number from 0 to 2 expected, not \"%.40s\"",
                       text);
    return true;
}

static bool read_source(struct arena *a, struct source *s, struct err *e)
{
    const char *names[COUNT + 1] = {NULL}, *unknown;

    for (size_t i = 0; i < COUNT; i++)
        names[i] = llm_providers[i]->name;
    *s = (struct source){.path = config_text("PROVIDERS_FILE"),
                         .max_tokens = config_int("LLM_MAX_TOKENS"),
                         .timeout_ms = config_int("ATTEMPT_TIMEOUT_SECONDS") * 1000};
    s->file = json_parse_file(a, s->path, e);
    if (s->file == NULL)
        return false;
    if (!json_is_object(s->file))
        return err_set(e, ERR_INPUT, "%s: object expected", s->path);
    if ((unknown = json_unknown_member(s->file, names)) != NULL)
        return err_set(e, ERR_INPUT, "%s: %.60s: no such provider", s->path, unknown);
    return read_temperature(&s->temperature, e);
}

struct llm_endpoint *llm_endpoints_load(struct arena *a, size_t *count, struct err *e)
{
    struct llm_endpoint *endpoints = arena_alloc(a, COUNT * sizeof *endpoints);
    struct source s;

    if (!read_source(a, &s, e))
        return NULL;
    for (size_t i = 0; i < COUNT; i++)
        if (!load(a, &s, llm_providers[i], &endpoints[i], e))
            return NULL;
    *count = COUNT;
    return endpoints;
}

/* ---- the chain ---- */

/* Where in the chain an endpoint is; length if it is not. */
static size_t position(const size_t chain[], size_t length, size_t endpoint)
{
    size_t i = 0;

    while (i < length && chain[i] != endpoint)
        i++;
    return i;
}

static bool unknown_provider(const char *setting, const char *name, size_t len, struct err *e)
{
    char known[128] = "";

    for (size_t i = 0; i < COUNT; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "",
                 llm_providers[i]->name);
    return err_set(e, ERR_INPUT, "%s: no provider \"%.*s\", but %s", setting,
                   len > 40 ? 40 : (int)len, name, known);
}

/* The endpoint of that name, which a setting gives; false and ERR_INPUT if there is none. */
static bool find(const struct llm_endpoint *endpoints, size_t count, const char *setting,
                 const char *name, size_t len, size_t *found, struct err *e)
{
    for (*found = 0; *found < count; ++*found)
        if (strlen(endpoints[*found].name) == len && memcmp(endpoints[*found].name, name, len) == 0)
            return true;
    return unknown_provider(setting, name, len, e);
}

static bool chain_from_list(const struct llm_endpoint *endpoints, size_t count, const char *list,
                            size_t chain[], size_t *length, struct err *e)
{
    static const char setting[] = "LLM_PROVIDERS", blanks[] = " \t";

    for (const char *name = list;; name++) {
        size_t len, found;

        name += strspn(name, blanks);
        len = strcspn(name, ", \t");
        if (!find(endpoints, count, setting, name, len, &found, e))
            return false;
        if (position(chain, *length, found) < *length)
            return err_set(e, ERR_INPUT, "%s: %s is given twice", setting, endpoints[found].name);
        chain[(*length)++] = found;
        name += len;
        name += strspn(name, blanks);
        if (*name == '\0')
            return true;
        if (*name != ',')
            return err_set(e, ERR_INPUT, "%s: comma expected at \"%.40s\"", setting, name);
    }
}

/* Those configured, in the order of llm_providers; the sample only if there is nothing else. */
static void chain_default(const struct llm_endpoint *endpoints, size_t count, size_t chain[],
                          size_t *length)
{
    for (size_t i = 0; i < count; i++)
        if (endpoints[i].configured && (endpoints[i].provider != &llm_sample || *length == 0))
            chain[(*length)++] = i;
}

bool llm_chain_load(const struct llm_endpoint *endpoints, size_t count, size_t chain[],
                    size_t *length, struct err *e)
{
    const char *list = config_text("LLM_PROVIDERS"), *first = config_text("DEFAULT_LLM_PROVIDER");
    size_t found, at;

    *length = 0;
    if (list == NULL)
        chain_default(endpoints, count, chain, length);
    else if (!chain_from_list(endpoints, count, list, chain, length, e))
        return false;
    if (first == NULL)
        return true;
    if (!find(endpoints, count, "DEFAULT_LLM_PROVIDER", first, strlen(first), &found, e))
        return false;
    at = position(chain, *length, found);
    *length += at == *length;
    memmove(chain + 1, chain, at * sizeof *chain);
    chain[0] = found;
    return true;
}
