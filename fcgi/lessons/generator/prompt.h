/* prompt: what a lesson request says to a model. Pure: the same request, the same words. */
#ifndef GENERATOR_PROMPT_H
#define GENERATOR_PROMPT_H

#include "fcgi/lessons/generator/llm/llm.h"

/* The members of a lesson's options, as the lessons API checked them. */
struct prompt_options {
    const char *grade_level, *learning_style;
    int64_t sections;
    bool examples, exercises;
};

/* Absent members have the API's defaults. */
void prompt_read_options(struct json_object *options, struct prompt_options *o);

void prompt_build(struct arena *a, const char *outline, const struct prompt_options *o,
                  struct llm_prompt *prompt);

#endif
