/*
 * chat: OpenAI's chat-completions protocol, which most providers speak.
 *
 * A provider that does is a file of a few lines: its name, its settings, and parse() calling
 * chat_parse() with its hints.
 */
#ifndef GENERATOR_LLM_CHAT_H
#define GENERATOR_LLM_CHAT_H

#include "fcgi/lessons/generator/llm/translate.h"

void chat_build(struct arena *a, const struct llm_endpoint *endpoint,
                const struct llm_prompt *prompt, struct llm_request *request);
void chat_parse(struct arena *a, const struct llm_response *response, const struct llm_hints *hints,
                struct llm_answer *answer);

#endif
