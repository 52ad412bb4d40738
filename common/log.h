/*
 * log: one line per event on stderr, logfmt or JSON; the supervisor keeps it.
 *
 * The id ties a line to a request or a job ("-" when there is none). Texts are
 * escaped, so that one event stays one line, redacted, and cut to 1 KiB. Keys,
 * prompts and bodies are never logged.
 *
 *     log_warn(req->id, "call failed", LOG_TEXT("provider", name), LOG_INT("status", 429));
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *key;
    const char *text; /* NULL: number */
    long long number;
};

#define LOG_TEXT(k, v) ((struct log_field){(k), (v), 0})
#define LOG_INT(k, v) ((struct log_field){(k), 0, (long long)(v)})

#define LOG_AT(level, id, event, ...)                                                              \
    log_write(level, id, event, (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0, 0, 0}})
#define log_debug(id, ...) LOG_AT(LOG_DEBUG, id, __VA_ARGS__)
#define log_info(id, ...) LOG_AT(LOG_INFO, id, __VA_ARGS__)
#define log_warn(id, ...) LOG_AT(LOG_WARN, id, __VA_ARGS__)
#define log_error(id, ...) LOG_AT(LOG_ERROR, id, __VA_ARGS__)

/* Reads LOG_LEVEL and LOG_FORMAT; before it, info and logfmt. */
void log_init(const char *program);

void log_write(enum log_level level, const char *id, const char *event,
               const struct log_field fields[]);

#endif
