/*
 * url: base URLs as operators write them.
 *
 * What comes out begins with http:// or https://, has a host, no user, query or fragment, and does
 * not end with a slash, so that a path can be put behind it. No name is looked up here.
 */
#ifndef GENERATOR_LLM_URL_H
#define GENERATOR_LLM_URL_H

#include "common/arena.h"
#include "common/err.h"

/* NULL and ERR_INPUT naming the setting. The value itself is not repeated: it may hold a key. */
const char *url_base(struct arena *a, const char *setting, const char *value, struct err *e);

/*
 * The same for OLLAMA_HOST, which Ollama also reads as host, host:port or :port (port 11434 and
 * http, then). An address that one listens on, 0.0.0.0 or [::], becomes one to connect to.
 */
const char *url_ollama(struct arena *a, const char *setting, const char *value, struct err *e);

/* Whether its host is an address, so that no name has to be looked up. The URL is one of these. */
bool url_is_address(const char *url);

#endif
