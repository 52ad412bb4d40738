#include "fcgi/lessons/generator/llm/chat.h"

static void parse(struct arena *a, const struct llm_response *response, struct llm_answer *answer)
{
    static const struct llm_hints hints = {.model = "OPENAI_MODEL", .base_url = "OPENAI_BASE_URL"};

    chat_parse(a, response, &hints, answer);
}

const struct llm_provider llm_openai = {
    .name = "openai",
    .key_settings = {"OPENAI_API_KEY"},
    .request_id_header = "x-request-id",
    .build = chat_build,
    .parse = parse,
};
