#include <fnmatch.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "common/config.h"
#include "fcgi/lessons/generator/llm/llm.h"

enum { DATE_SIZE = sizeof "2026-11-23" };

#define PER_TOKEN 1e-6 /* prices are those of a million */

/* One row; the dates are inclusive and exclusive, "" without an end. */
struct price {
    const char *provider, *model;
    const char *from, *until;
    double input, output;
    double cached_input, cache_write; /* NaN: there is no price for those tokens */
};

struct llm_prices {
    const char *as_of;
    size_t count;
    struct price rows[];
};

static bool date_valid(const char *s)
{
    struct tm tm = {0};
    const char *end = s ? strptime(s, "%Y-%m-%d", &tm) : NULL;

    return end != NULL && *end == '\0' && strlen(s) == DATE_SIZE - 1;
}

static bool provider_known(const char *name)
{
    for (const struct llm_provider *const *p = llm_providers; name && *p != NULL; p++)
        if (strcmp((*p)->name, name) == 0)
            return true;
    return false;
}

/* A price that may be left out: NaN then. */
static bool read_price(struct json_object *row, const char *name, bool required, double *price)
{
    struct json_object *node = json_at(row, name, NULL);

    *price = NAN;
    if (json_is_null(node))
        return !required;
    return json_number(node, price) && *price >= 0;
}

static bool read_date(struct json_object *row, const char *name, const char **date)
{
    struct json_object *node = json_at(row, name, NULL);

    *date = json_is_null(node) ? "" : json_text(node);
    return json_is_null(node) || date_valid(*date);
}

/* The name of the first member that is wrong; NULL if all are well. */
static const char *read_keys(struct json_object *row, struct price *p)
{
    p->provider = json_text(json_at(row, "provider", NULL));
    p->model = json_text(json_at(row, "model", NULL));
    if (!provider_known(p->provider))
        return "provider";
    if (p->model == NULL)
        return "model";
    if (json_text(json_at(row, "source", NULL)) == NULL)
        return "source";
    if (!read_date(row, "from", &p->from))
        return "from";
    return read_date(row, "until", &p->until) ? NULL : "until";
}

static const char *read_prices(struct json_object *row, struct price *p)
{
    const struct {
        const char *name;
        bool required;
        double *price;
    } prices[] = {
        {"input_per_mtok", true, &p->input},
        {"output_per_mtok", true, &p->output},
        {"cached_input_per_mtok", false, &p->cached_input},
        {"cache_write_per_mtok", false, &p->cache_write},
    };

    for (size_t i = 0; i < sizeof prices / sizeof *prices; i++)
        if (!read_price(row, prices[i].name, prices[i].required, prices[i].price))
            return prices[i].name;
    return NULL;
}

static bool read_row(struct json_object *row, const char *path, size_t i, struct price *p,
                     struct err *e)
{
    static const char *const members[] = {
        "provider",
        "model",
        "input_per_mtok",
        "output_per_mtok",
        "cached_input_per_mtok",
        "cache_write_per_mtok",
        "from",
        "until",
        "source",
        NULL,
    };
    const char *wrong = json_is_object(row) ? json_unknown_member(row, members) : "(no object)";

    if (wrong == NULL)
        wrong = read_keys(row, p);
    if (wrong == NULL)
        wrong = read_prices(row, p);
    return wrong == NULL ||
           err_set(e, ERR_INPUT, "%s: prices[%zu].%.60s: missing or wrong", path, i, wrong);
}

struct llm_prices *llm_prices_load(struct arena *a, struct err *e)
{
    const char *path = config_text("PRICES_FILE"), *as_of, *currency;
    struct json_object *file = json_parse_file(a, path, e), *rows = json_at(file, "prices", NULL);
    struct llm_prices *prices =
        arena_alloc(a, sizeof *prices + json_length(rows) * sizeof *prices->rows);

    if (file == NULL)
        return NULL;
    as_of = json_text(json_at(file, "as_of", NULL));
    currency = json_text(json_at(file, "currency", NULL));
    if (!date_valid(as_of) || currency == NULL || strcmp(currency, "USD") != 0 ||
        !json_is_array(rows)) {
        err_set(e, ERR_INPUT, "%s: as_of (a date), currency (USD) and prices expected", path);
        return NULL;
    }
    prices->as_of = as_of;
    for (; prices->count < json_length(rows); prices->count++)
        if (!read_row(json_item(rows, prices->count), path, prices->count,
                      &prices->rows[prices->count], e))
            return NULL;
    return prices;
}

static const struct price *find(const struct llm_prices *prices, const char *provider,
                                const char *model)
{
    time_t now = time(NULL);
    char today[DATE_SIZE];
    struct tm tm;

    strftime(today, sizeof today, "%F", gmtime_r(&now, &tm));
    for (size_t i = 0; i < prices->count; i++) {
        const struct price *p = &prices->rows[i];

        if (strcmp(p->provider, provider) == 0 && fnmatch(p->model, model, 0) == 0 &&
            strcmp(p->from, today) <= 0 && (*p->until == '\0' || strcmp(today, p->until) < 0))
            return p;
    }
    return NULL;
}

/* NaN if there are tokens and no price for them; what is not told is none. */
static double part(int64_t tokens, double price)
{
    return tokens > 0 ? (double)tokens * price * PER_TOKEN : 0;
}

bool llm_cost(const struct llm_prices *prices, const char *provider, const char *model,
              const struct llm_answer *answer, double *usd, const char **as_of)
{
    const struct price *p = model ? find(prices, provider, model) : NULL;
    int64_t fresh = answer->prompt_tokens;
    double cost = 0;

    if (p == NULL)
        return false;
    if (p->input > 0 || p->output > 0) { /* else it is free, however many they are */
        if (answer->prompt_tokens == LLM_UNKNOWN || answer->completion_tokens == LLM_UNKNOWN)
            return false;
        fresh -= answer->cached_tokens > 0 ? answer->cached_tokens : 0;
        fresh -= answer->cache_write_tokens > 0 ? answer->cache_write_tokens : 0;
        cost = part(fresh, p->input) + part(answer->cached_tokens, p->cached_input) +
               part(answer->cache_write_tokens, p->cache_write) +
               part(answer->completion_tokens, p->output);
        if (isnan(cost) || fresh < 0)
            return false;
    }
    *usd = cost;
    *as_of = prices->as_of;
    return true;
}
