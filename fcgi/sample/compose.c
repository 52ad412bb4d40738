#include "fcgi/sample/compose.h"

#include <ctype.h>
#include <string.h>

#include "fcgi/sample/outline.h"

enum {
    LESSON_MAX_BYTES = 256 << 10,
    SIMPLE_UP_TO_GRADE = 4,
    VISUALS = 3,
    CONCEPTS_MAX = 6,
};

/*
 * In the texts below:  $T the title   $A a word of the outline   $B the word after it
 *                      $C $D the same, capitalised               $G the grade
 * A word is used as a name and never as a subject, so that any part of speech will do.
 */
static const struct section {
    const char *heading, *simple, *rich, *example, *exercise, *visual;
} sections[] = {
    {"Getting to Know $C",
     "Let us start with one word: **$A**. Say it out loud. What do you think of when you hear it? "
     "You may already know a little about $A, and that is a good place to begin.\n\n"
     "When we meet something new, we first give it a name. Then we look at it closely. Then we "
     "tell somebody else what we saw.",
     "Every topic has a few words that carry most of its meaning, and **$A** is the first of them. "
     "Before you read on, write down what you already know about $A and one thing you are not "
     "sure of.\n\n"
     "A good description answers three questions: what is it, what is it made of, and what is it "
     "*not*? Keep them in mind whenever you read about $A together with **$B**.",
     "Mia tells her little brother about $A. She says one sentence, draws one picture, and asks "
     "him to say it back in his own words. Now both of them know it better.",
     "Write one sentence that tells what $A means. Swap it with a partner and compare.",
     "a drawing with the word $A in the middle and three arrows to things that belong to it"},
    {"A Closer Look at $C",
     "Now we look closer at **$A**. Big things are made of smaller parts. If we know the parts, "
     "the whole is easier to understand.\n\n"
     "Ask yourself: What parts can I find? Which part comes first? Which part goes with $B?",
     "To understand **$A**, take it apart. List its parts, say what each of them is for, and think "
     "about what would change if one of them were missing.\n\n"
     "Parts rarely stand alone. Look for places where a change in $A leads to a change in **$B**: "
     "a link like that is called *cause and effect*.",
     "Leo builds a model of $A from cardboard. He cuts one piece for each part and puts a label "
     "on it, so that a visitor can see which piece is which.",
     "Make a table with two columns, “part” and “what it is for”. Fill in three rows about $A.",
     "a picture of $A with a label for each part"},
    {"$C Step by Step",
     "Many things happen in order: first one thing, then the next, and at the end there is a "
     "result. We can think about **$A** in this way, too.\n\n"
     "Use the words *first*, *next*, *then* and *last* to tell a story about $A. If a step is "
     "missing, your listener will notice.",
     "Putting things in order helps to explain them. Describe **$A** as a sequence: the starting "
     "point, the steps in between, and the result.\n\n"
     "Check the sequence by reading it backwards. If a step does not follow from the one before "
     "it, something is missing, and often it has to do with **$B**.",
     "First we notice $A. Next we ask what came before. Then we ask what comes after. Last, we "
     "check our answer in a book.",
     "Draw four boxes in a row and show $A in four steps, with one sentence under each box.",
     "a flow chart of four boxes with arrows between them, one box for each step of $A"},
    {"$C in Everyday Life",
     "You can find **$A** outside the classroom, too. Think of your home, your way to school, or a "
     "book you like. Where did you last come across $A?\n\n"
     "Things we know from our own day are easy to remember.",
     "Ideas stay with us when we meet them again outside the classroom. Think of one place, one "
     "person and one event that you connect with **$A**.\n\n"
     "Now turn it around: what would an ordinary day be like without $A? The answer shows why "
     "people care about it, and what it has to do with **$B**.",
     "On the way home, Sam keeps a list. Every time something reminds him of $A, he makes a note. "
     "At dinner he reads the list to his family.",
     "Find two things at home that have to do with $A. Tell the class how you found them.",
     "a map of a neighbourhood with a star at every place that has to do with $A"},
    {"How $C Goes Together with $D",
     "We have met **$A**, and we have met **$B**. Now we put them side by side. What is the same? "
     "What is different? Does one help us to understand the other?\n\n"
     "When we connect two ideas, we remember both.",
     "So far we have looked at one idea at a time. Understanding grows when ideas are connected, "
     "so put **$A** and **$B** side by side: what do they share, and where do they differ?\n\n"
     "Try to finish this sentence in two ways: “Without $A, we could not understand $B, because …”",
     "Two friends share the work: one reads about $A, the other about $B. Then each of them asks "
     "the other three questions.",
     "Draw two circles that overlap. Write what belongs to $A on the left, what belongs to $B on "
     "the right, and what belongs to both in the middle.",
     "two overlapping circles, one for $A and one for $B"},
    {"Good Questions about $C",
     "Good learners ask good questions. Some questions have a short answer, *yes* or *no*. Better "
     "questions begin with *why* or *how*.\n\n"
     "Think of one *why* question and one *how* question about **$A**.",
     "A question shows what we understand as clearly as an answer does. Questions that begin with "
     "*who* or *when* ask for a fact; questions that begin with *why* or *how* ask for a "
     "reason.\n\n"
     "Collect both kinds about **$A**, and mark those you could answer with what you know about "
     "**$B**.",
     "“Why do we learn about $A?” asks Nora. Her teacher answers with a question: “What could you "
     "not do if you knew nothing about it?”",
     "Write three questions about $A. Answer one of them yourself, and ask a partner the others.",
     "a question mark made of small pictures that have to do with $A"},
    {"Finding Out More about $C",
     "How do people know things about **$A**? They look, they count, they read, and they ask. You "
     "can do that, too.\n\n"
     "Write down what you find, and where you found it. Then others can look there as well.",
     "What we know about **$A** was found out by somebody: by watching, measuring, reading, or "
     "asking people who were there. A careful reader wants to know which it was.\n\n"
     "Compare two sources. Where they agree, you can be more certain; where they do not, look for "
     "a third, perhaps one that deals with **$B**.",
     "Ben reads two books about $A. One of them says something that the other does not. He writes "
     "both down, and asks the librarian for a third book.",
     "Find one fact about $A in a book. Write it down together with the title and the page.",
     "a notebook page with a fact about $A, a sketch, and the place where it was found"},
    {"Telling Others about $C",
     "If you can tell somebody about **$A**, you have learned it. Use short sentences. Show a "
     "picture. Ask your listener: “What did you hear?”\n\n"
     "If they got it right, you told it well.",
     "The best test of understanding is to explain. Choose a listener who knows nothing about "
     "**$A**, and decide what they need to hear first, what can wait, and what can be left out.\n\n"
     "A comparison helps: say what $A is like, and then where the comparison ends. Close with the "
     "link to **$B**.",
     "Ava has one minute to tell the class about $A. She shows a picture, says three sentences, "
     "and ends with a question.",
     "Prepare one minute about $A: one picture, three sentences, one question.",
     "a poster about $A with a title, one picture and three short sentences"},
};

enum { SECTION_COUNT = sizeof sections / sizeof *sections };

static const char *const concepts[CONCEPTS_MAX] = {
    "the word this lesson begins with; say in one sentence what it means",
    "name its parts, and say what they are for",
    "tell it in order: first, next, last",
    "give one example from your own day",
    "compare it with another word on this list",
    "ask one question about it that begins with *why*",
};

struct lesson {
    struct buf *out;
    struct outline outline;
    int i; /* which word is $A */
};

/* ---- filling in ---- */

static void put_capital(struct buf *out, const char *word)
{
    buf_printf(out, "%c%s", toupper((unsigned char)*word), word + 1);
}

static void put_blank(struct lesson *l, char which)
{
    const struct outline *o = &l->outline;
    const char *a = o->words[l->i % o->word_count];
    const char *b = o->word_count > 1 ? o->words[(l->i + 1) % o->word_count] : "our world";

    switch (which) {
    case 'T':
        buf_puts(l->out, o->title);
        break;
    case 'A':
        buf_puts(l->out, a);
        break;
    case 'B':
        buf_puts(l->out, b);
        break;
    case 'C':
        put_capital(l->out, a);
        break;
    case 'D':
        put_capital(l->out, b);
        break;
    case 'G':
        buf_printf(l->out, "%d", o->grade);
        break;
    }
}

static void say(struct lesson *l, const char *text)
{
    for (;;) {
        size_t len = strcspn(text, "$");

        buf_add(l->out, text, len);
        if (text[len] == '\0')
            return;
        put_blank(l, text[len + 1]);
        text += len + 2;
    }
}

static bool is_simple(const struct lesson *l)
{
    return l->outline.grade <= SIMPLE_UP_TO_GRADE;
}

/* ---- the parts ---- */

static void opening(struct lesson *l)
{
    say(l, "# $T\n\n");
    say(l, is_simple(l) ? "Welcome! This lesson is about “$T”. Read slowly, look for the words in "
                          "**bold**, and stop whenever you have a question.\n\n"
                        : "Welcome to this lesson about “$T”, written for grade $G. Words in "
                          "**bold** are the ones to remember. Take notes while you read: a few "
                          "words a section are enough.\n\n");
    say(l, "## Learning Objectives\n\n"
           "After this lesson you will be able to:\n\n"
           "- say in your own words what **$A** means\n"
           "- describe how $A goes together with $B\n"
           "- find something in your own life that has to do with it\n"
           "- ask, and answer, a good question about it\n\n");
}

/* Three in all: one in each of the first three sections. */
static void visual(struct lesson *l, const struct section *s)
{
    say(l, "**Visual aid:** ");
    say(l, s->visual);
    say(l, "\n\n");
}

static void section(struct lesson *l)
{
    const struct section *s = &sections[l->i % SECTION_COUNT];
    const struct outline *o = &l->outline;

    say(l, "## ");
    say(l, s->heading);
    if (l->i >= SECTION_COUNT)
        buf_printf(l->out, ", Part %d", l->i / SECTION_COUNT + 1);
    say(l, "\n\n");
    say(l, is_simple(l) ? s->simple : s->rich);
    say(l, "\n\n");
    if (o->visual && l->i < VISUALS)
        visual(l, s);
    if (o->examples) {
        say(l, "### Example\n\n");
        say(l, s->example);
        say(l, "\n\n");
    }
    if (o->exercises) {
        say(l, "### Exercise\n\n");
        say(l, s->exercise);
        say(l, "\n\n");
    }
}

static void key_concepts(struct lesson *l)
{
    say(l, "## Key Concepts\n\n");
    for (l->i = 0; l->i < l->outline.word_count && l->i < CONCEPTS_MAX; l->i++) {
        say(l, "- **$A**: ");
        say(l, concepts[l->i]);
        say(l, "\n");
    }
    say(l, "\n");
    l->i = 0;
}

static void closing(struct lesson *l)
{
    say(l, "## Prerequisites\n\n"
           "- Reading a page at the level of grade $G\n"
           "- Having heard the word $A before\n"
           "- Paper and a pencil\n\n"
           "## Summary\n\n");
    say(l, is_simple(l) ? "Today we learned about “$T”. We gave things a name, we looked at their "
                          "parts, and we told others about them. Well done!\n\n"
                        : "We approached “$T” from several sides: we named what matters, looked "
                          "at its parts, and connected **$A** with **$B**. If you can explain one "
                          "of these links to somebody else, you have reached the goal.\n\n");
    say(l, "## Next Steps\n\n"
           "- Tell somebody at home one thing you learned about $A.\n"
           "- Find a book or an article about $B and read one page of it.\n"
           "- Write down one question you still have, and bring it to the next lesson.\n");
}

const struct buf *compose_lesson(struct arena *a, const char *prompt)
{
    struct lesson l = {.out = buf_create(a, LESSON_MAX_BYTES)};

    outline_read(a, prompt, &l.outline);
    opening(&l);
    for (l.i = 0; l.i < l.outline.sections; l.i++)
        section(&l);
    key_concepts(&l);
    closing(&l);
    return l.out;
}
