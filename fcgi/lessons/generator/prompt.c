#include "fcgi/lessons/generator/prompt.h"

#include <string.h>

enum { PROMPT_MAX = 256 * 1024 };

static const char system_text[] =
    "You are an experienced author of teaching material for schools. Write one complete lesson.\n"
    "\n"
    "How to write:\n"
    "- Organise the lesson in clear sections with Markdown headings.\n"
    "- Use Markdown throughout: headings, lists, tables and emphasis where they help.\n"
    "- Explain with practical examples from the pupils' world.\n"
    "- Keep words and sentences right for the grade level.\n"
    "- Follow the learning style that is asked for.\n"
    "- Involve the reader: questions, small activities, things to try.\n"
    "- Be accurate; leave out what you are not sure of.\n"
    "- Be friendly and engaging.\n"
    "\n"
    "Parts of the lesson:\n"
    "1. Introduction with the learning objectives\n"
    "2. Main sections\n"
    "3. Examples\n"
    "4. Key takeaways and summary\n"
    "5. Next steps\n"
    "\n"
    "Answer with the lesson in Markdown and nothing else.";

static const char visual_text[] =
    "\n"
    "Visual aids: put exactly three hints for pictures into the lesson, each on a line of its own "
    "in this form:\n"
    "**Visual aid:** a labelled drawing of the parts, side by side\n"
    "**Visual aid:** a timeline of the steps, from left to right\n"
    "**Visual aid:** a diagram of how the ideas belong together\n"
    "Replace the three descriptions by ones that suit the sections they stand in.\n";

void prompt_read_options(struct json_object *options, struct prompt_options *o)
{
    const char *grade = json_text(json_at(options, "gradeLevel", NULL));
    const char *style = json_text(json_at(options, "learningStyle", NULL));

    *o = (struct prompt_options){
        .grade_level = grade ? grade : "2",
        .learning_style = style ? style : "reading",
        .sections = 4,
        .examples = true,
        .exercises = true,
    };
    json_int(json_at(options, "sections", NULL), &o->sections);
    json_flag(json_at(options, "includeExamples", NULL), &o->examples);
    json_flag(json_at(options, "includeExercises", NULL), &o->exercises);
}

void prompt_build(struct arena *a, const char *outline, const struct prompt_options *o,
                  struct llm_prompt *prompt)
{
    struct buf *b = buf_create(a, PROMPT_MAX);

    buf_printf(b,
               "Write a lesson from this outline of a teacher:\n"
               "\n"
               "Outline: \"%s\"\n"
               "\n"
               "Requirements:\n"
               "- Grade level: %s\n"
               "- Sections: at least %lld\n"
               "- Learning style: %s\n"
               "- Include examples: %s\n"
               "- Include exercises: %s\n",
               outline, o->grade_level, (long long)o->sections, o->learning_style,
               o->examples ? "yes" : "no", o->exercises ? "yes" : "no");
    if (strcmp(o->learning_style, "reading and visual") == 0)
        buf_puts(b, visual_text);
    buf_puts(b, "\n"
                "Deliver:\n"
                "1. A title as the only level-1 heading; it does not begin with the word "
                "\"Generated\"\n"
                "2. The learning objectives\n"
                "3. The content in level-2 sections\n"
                "4. A section \"Key Concepts\" with a list of the most important ideas, and a "
                "section \"Prerequisites\" with a list of what pupils should know before\n"
                "5. Where the ideas are used in life\n"
                "6. A summary and the next steps\n"
                "\n"
                "Use Markdown.");
    prompt->system = system_text;
    prompt->user = buf_text(b);
}
