#include "fcgi/lessons/generator/llm/chat.h"

static void parse(struct arena *a, const struct llm_response *response, struct llm_answer *answer)
{
    static const struct llm_hints hints = {.model = "GROQ_MODEL", .base_url = "GROQ_BASE_URL"};

    chat_parse(a, response, &hints, answer);
}

const struct llm_provider llm_groq = {
    .name = "groq",
    .key_settings = {"GROQ_API_KEY"},
    .request_id_header = "x-request-id",
    .build = chat_build,
    .parse = parse,
};
