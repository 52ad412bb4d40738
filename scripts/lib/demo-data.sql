-- What scripts/demo-data makes lessons and traces of. psql runs this once, with :seed, :days, :count, :lean, :prices and
-- :providers set; then it executes the statement demo_batch for each batch. All of it is temporary.
--
-- Every choice is a hash of seed, row and place, so that the same seed makes the same rows, in whatever batches.

-- ---- words ----

CREATE TEMP TABLE demo_languages (
    language  int PRIMARY KEY,
    share     float8, -- of the lessons
    topics    text[],
    angles    text[],
    heads     text[], -- introduction, goals, then the sections, then life, summary, next steps
    sentences text[]  -- {} stands for the topic
);
INSERT INTO demo_languages VALUES
(1, 0.34,
 '{"Why the moon has phases","How plants make food from light","Fractions on a number line","The water cycle","Life in ancient Rome","How a bill becomes law","The parts of a cell","Adding and subtracting within 100","What causes earthquakes","Writing a good paragraph","Magnets and what they attract","The life of a butterfly"}',
 '{"with an experiment to do at home","for a class that has met it before","in four short sections","with many pictures","with questions to talk about in pairs","and why it matters today"}',
 '{"Introduction","Learning Objectives","What we see","How it works","A closer look","Step by step","Examples","Try it yourself","In everyday life","Summary","Next Steps"}',
 '{"Today we look at {} and ask what is really going on.","Think of a moment when you noticed this yourself, and tell your neighbour about it.","Scientists did not always agree on it, and some of their ideas were very strange.","Write down one word that is new to you and draw a small picture beside it.","If something is hard to imagine, build it with things from your desk.","A good explanation begins with what everybody can observe.","Compare your answer with that of your neighbour: where do they differ?","It helps to do one step at a time and to say it aloud.","Remember the example from the beginning: what would change now?","There is always a reason, even if it is hidden at first sight.","Ask a grown-up at home what they know about {}.","Now you can explain {} in your own words."}'),
(2, 0.14,
 '{"Warum der Mond Phasen hat","Wie Pflanzen aus Licht Nahrung machen","Brüche am Zahlenstrahl","Der Wasserkreislauf","Das Leben im alten Rom","Die Größe von Flächen","Der Aufbau einer Zelle","Das Wetter und seine Ursachen","Märchen der Brüder Grimm","Das Fahrrad sicher prüfen"}',
 '{"mit einem Versuch für zu Hause","für eine geübte Klasse","in vier kurzen Abschnitten","mit vielen Bildern","mit Übungen für Gruppen"}',
 '{"Einleitung","Lernziele","Was wir sehen","Wie es geht","Genauer betrachtet","Schritt für Schritt","Beispiele","Probiere es aus","Im Alltag","Zusammenfassung","Wie es weitergeht"}',
 '{"Heute geht es um das Thema „{}“ und um die Frage, was dabei wirklich geschieht.","Überlege, wann du das selbst schon einmal beobachtet hast, und erzähle davon.","Früher glaubten die Menschen etwas ganz anderes darüber.","Schreibe ein neues Wort auf und male ein kleines Bild daneben.","Was schwer vorzustellen ist, lässt sich oft nachbauen.","Eine gute Erklärung beginnt mit dem, was alle sehen können.","Vergleiche deine Antwort mit der deines Nachbarn.","Gehe Schritt für Schritt vor und sprich dabei laut mit.","Denke an das Beispiel vom Anfang: Was wäre jetzt anders?","Es gibt immer einen Grund, auch wenn man ihn zuerst nicht sieht."}'),
(3, 0.11,
 '{"Pourquoi la Lune a des phases","Comment les plantes se nourrissent de lumière","Les fractions sur la droite numérique","Le cycle de l’eau","La vie dans la Rome antique","La Révolution française","La cellule et ses parties","Le passé composé à l’école","Les forêts et les êtres vivants","La météo de la semaine"}',
 '{"avec une expérience à faire chez soi","pour une classe déjà avancée","en quatre courtes parties","avec beaucoup d’images","avec des exercices en groupe"}',
 '{"Introduction","Objectifs","Ce que l’on voit","Comment cela marche","De plus près","Étape par étape","Exemples","À toi d’essayer","Dans la vie","Résumé","Pour aller plus loin"}',
 '{"Aujourd’hui, nous étudions « {} » et nous cherchons ce qui se passe vraiment.","Pense à un moment où tu l’as remarqué et raconte-le à ton voisin.","Autrefois, on avait à ce sujet des idées très étranges.","Note un mot nouveau et fais un petit dessin à côté.","Ce qui est difficile à imaginer peut souvent être construit.","Une bonne explication commence par ce que chacun peut observer.","Compare ta réponse avec celle de ton voisin : où est la différence ?","Avance étape par étape, à voix haute.","Souviens-toi de l’exemple du début : qu’est-ce qui changerait ?","Il y a toujours une raison, même cachée au premier regard."}'),
(4, 0.12,
 '{"Por qué la Luna tiene fases","Cómo fabrican las plantas su alimento","Las fracciones en la recta numérica","El ciclo del agua","La vida en la antigua Roma","Los animales de la montaña","Las partes de la célula","Sumar y restar sin miedo","Los niños y la tradición oral","El sistema solar"}',
 '{"con un experimento para casa","para un grupo con experiencia","en cuatro partes breves","con muchas imágenes","con preguntas para hablar en parejas"}',
 '{"Introducción","Objetivos","Lo que vemos","Cómo funciona","Más de cerca","Paso a paso","Ejemplos","Pruébalo tú","En la vida diaria","Resumen","Próximos pasos"}',
 '{"Hoy estudiamos «{}» y preguntamos qué ocurre de verdad.","Piensa en un momento en que lo notaste y cuéntaselo a tu compañero.","Hace mucho tiempo la gente tenía ideas muy extrañas sobre esto.","Apunta una palabra nueva y haz un pequeño dibujo al lado.","Lo que es difícil de imaginar se puede construir con cosas sencillas.","Una buena explicación empieza por lo que todos pueden observar.","Compara tu respuesta con la de tu compañero: ¿en qué se diferencian?","Ve paso a paso y dilo en voz alta.","Recuerda el ejemplo del principio: ¿qué cambiaría ahora?","Siempre hay una razón, aunque al principio esté escondida."}'),
(5, 0.07,
 '{"لماذا يتغير شكل القمر","كيف تصنع النباتات غذاءها من الضوء","الكسور على خط الأعداد","دورة الماء في الطبيعة","الحياة في روما القديمة","أجزاء الخلية","الجمع والطرح حتى مئة","أسباب الزلازل"}',
 '{"مع تجربة في البيت","للصف المتقدم","في أربعة أقسام قصيرة","مع صور كثيرة"}',
 '{"مقدمة","أهداف الدرس","ماذا نرى","كيف يحدث ذلك","نظرة أقرب","خطوة بخطوة","أمثلة","جرب بنفسك","في الحياة اليومية","الخلاصة","الخطوات التالية"}',
 '{"ندرس اليوم موضوع «{}» ونسأل ما الذي يحدث حقا.","فكر في مرة لاحظت فيها ذلك واحكها لزميلك.","كان الناس قديما يظنون أشياء غريبة عنه.","اكتب كلمة جديدة وارسم بجانبها صورة صغيرة.","ما يصعب تخيله يمكن بناؤه بأشياء بسيطة.","يبدأ الشرح الجيد بما يستطيع الجميع ملاحظته.","قارن إجابتك بإجابة زميلك، أين الاختلاف؟","تقدم خطوة بخطوة واقرأ بصوت عال.","هناك دائما سبب وإن كان خفيا في البداية."}'),
(6, 0.07,
 '{"月亮为什么有圆缺","植物怎样用光制造食物","数轴上的分数","水的循环","古罗马的生活","细胞的组成","一百以内的加减法","地震是怎样发生的"}',
 '{"附家庭小实验","适合已有基础的班级","分为四个小节","配有许多图片"}',
 '{"引言","学习目标","我们看到什么","它是怎样发生的","仔细观察","一步一步来","例子","自己试一试","生活中的应用","小结","下一步"}',
 '{"今天我们学习“{}”，一起想一想到底发生了什么。","回忆一次你自己注意到它的经历，讲给同桌听。","很久以前，人们对它有许多奇怪的想法，后来才慢慢明白。","写下一个新词，并在旁边画一幅小图。","难以想象的东西，可以用桌上的物品搭出来看看。","好的解释总是从大家都能观察到的事情开始。","把你的答案和同桌的比一比，哪里不一样？","一步一步地做，同时大声说出来。","想想开头的例子：现在会有什么变化？","凡事都有原因，即使一开始看不出来。"}'),
(7, 0.05,
 '{"चंद्रमा की कलाएँ क्यों बदलती हैं","पौधे प्रकाश से भोजन कैसे बनाते हैं","संख्या रेखा पर भिन्न","जल चक्र","प्राचीन रोम का जीवन","कोशिका के भाग","सौ तक जोड़ और घटाव"}',
 '{"घर पर करने योग्य प्रयोग के साथ","अनुभवी कक्षा के लिए","चार छोटे भागों में","बहुत से चित्रों के साथ"}',
 '{"परिचय","उद्देश्य","हम क्या देखते हैं","यह कैसे होता है","पास से देखें","एक एक कदम","उदाहरण","स्वयं करके देखें","दैनिक जीवन में","सारांश","अगले कदम"}',
 '{"आज हम “{}” के बारे में पढ़ेंगे और पूछेंगे कि वास्तव में क्या होता है।","सोचो कि तुमने इसे कब देखा था और अपने साथी को बताओ।","पुराने समय में लोग इसके बारे में अजीब बातें मानते थे।","एक नया शब्द लिखो और उसके पास एक छोटा चित्र बनाओ।","जिसकी कल्पना कठिन हो उसे सरल चीज़ों से बनाया जा सकता है।","अच्छी व्याख्या वहीं से शुरू होती है जो सब देख सकते हैं।","अपने उत्तर की तुलना साथी के उत्तर से करो।","एक एक कदम चलो और ज़ोर से बोलो।"}'),
(8, 0.06,
 '{"Почему у Луны бывают фазы","Как растения питаются светом","Дроби на числовой прямой","Круговорот воды","Жизнь в Древнем Риме","Строение клетки","Ёлка и зимние праздники","Отчего бывают землетрясения"}',
 '{"с опытом для дома","для подготовленного класса","в четырёх коротких частях","с множеством рисунков"}',
 '{"Введение","Цели урока","Что мы видим","Как это происходит","Ближе к делу","Шаг за шагом","Примеры","Попробуй сам","В повседневной жизни","Итоги","Что дальше"}',
 '{"Сегодня мы изучаем тему «{}» и спрашиваем, что происходит на самом деле.","Вспомни, когда ты сам это замечал, и расскажи соседу.","Раньше люди думали об этом совсем иначе.","Запиши новое слово и нарисуй рядом маленькую картинку.","То, что трудно представить, можно построить из простых вещей.","Хорошее объяснение начинается с того, что видно всем.","Сравни свой ответ с ответом соседа: в чём разница?","Иди шаг за шагом и говори вслух.","Причина есть всегда, даже если её не видно сразу."}'),
(9, 0.04,
 '{"月の形が変わる理由","植物が光から養分を作るしくみ","数直線と分数","水の循環","古代ローマのくらし","細胞のつくり","地震が起こるわけ","百までのたし算とひき算"}',
 '{"家でできる実験つき","学んだことのあるクラス向け","四つの短い節で","絵をたくさん使って"}',
 '{"はじめに","学習のめあて","見えること","しくみ","くわしく見る","一歩ずつ","例","やってみよう","くらしの中で","まとめ","次の学習"}',
 '{"今日は「{}」について学び、本当は何が起きているのかを考えます。","自分で気づいたときのことを思い出して、となりの人に話しましょう。","昔の人はこれについてふしぎな考えを持っていました。","新しいことばを一つ書いて、横に小さな絵をかきましょう。","想像しにくいものは、身近な物で作ってみるとわかります。","よい説明は、だれにでも見えることから始まります。","となりの人の答えとくらべて、ちがうところを探しましょう。","一歩ずつ、声に出して進めましょう。","理由は必ずあります。はじめは見えなくても大丈夫です。"}');

-- ---- chance ----

-- From 0 to 1, for row n and place k.
CREATE FUNCTION pg_temp.u(n bigint, k int) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (hashint8extended(n * 256 + k, :seed) & 1048575) / 1048576.0::float8;
-- Around 0, as errors of measurement are.
CREATE FUNCTION pg_temp.z(n bigint, k int) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN sqrt(-2 * ln(1 - pg_temp.u(n, k))) * cos(6.283185307 * pg_temp.u(n, k + 1));
CREATE FUNCTION pg_temp.hex(n bigint, k int) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN md5(concat(:seed, ' ', n, ' ', k));
-- A UUID of version 8 (RFC 9562, 5.8), of which the product itself makes none: how --clear knows them.
CREATE FUNCTION pg_temp.uuid8(n bigint, k int) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN overlay(overlay(pg_temp.hex(n, k) PLACING '8' FROM 13) PLACING 'a' FROM 17)::uuid;
CREATE FUNCTION pg_temp.pick(list text[], x float8) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN list[1 + floor(x * cardinality(list))::int];
CREATE FUNCTION pg_temp.iso(t timestamptz) RETURNS text LANGUAGE sql STABLE
    RETURN to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

-- ---- texts ----

CREATE TEMP TABLE demo_bodies AS
WITH sections AS (
    SELECT language, topic, variant, section, heads[section] AS head,
           (SELECT string_agg(replace(pg_temp.pick(sentences, pg_temp.u(variant * 100 + topic, section * 10 + s)), '{}', topics[topic]),
                              CASE WHEN language IN (6, 9) THEN '' ELSE ' ' END ORDER BY s)
              FROM generate_series(1, CASE WHEN :lean THEN 1 WHEN language IN (6, 9) THEN 8 ELSE 7 END) AS s) AS paragraph,
           topics[topic] AS name, sentences
      FROM demo_languages, generate_series(1, cardinality(topics)) AS topic, generate_series(1, 6) AS variant,
           generate_series(1, CASE WHEN :lean THEN 1 ELSE cardinality(heads) END) AS section)
SELECT language, topic, variant,
       string_agg(E'## ' || head || E'\n\n' || paragraph, E'\n\n' ORDER BY section)
       || E'\n\n## Key Concepts\n\n- **' || min(name) || E'**\n- ' || replace(min(sentences[6]), '{}', min(name))
       || E'\n\n## Prerequisites\n\n- ' || replace(min(sentences[4]), '{}', min(name)) || E'\n' AS body,
       jsonb_build_array('**' || min(name) || '**', replace(min(sentences[6]), '{}', min(name))) AS concepts,
       jsonb_build_array(replace(min(sentences[4]), '{}', min(name))) AS prerequisites,
       count(*) + 2 AS sections
  FROM sections GROUP BY language, topic, variant;
CREATE INDEX ON demo_bodies (language, topic, variant);

-- As fcgi/lessons/generator/prompt.c words them.
CREATE TEMP TABLE demo_prompt AS SELECT
E'You are an experienced author of teaching material for schools. Write one complete lesson.\n\nHow to write:\n- Organise the lesson in clear sections with Markdown headings.\n- Use Markdown throughout: headings, lists, tables and emphasis where they help.\n- Explain with practical examples from the pupils'' world.\n- Keep words and sentences right for the grade level.\n- Follow the learning style that is asked for.\n- Involve the reader: questions, small activities, things to try.\n- Be accurate; leave out what you are not sure of.\n- Be friendly and engaging.\n\nParts of the lesson:\n1. Introduction with the learning objectives\n2. Main sections\n3. Examples\n4. Key takeaways and summary\n5. Next steps\n\nAnswer with the lesson in Markdown and nothing else.' AS system,
E'Write a lesson from this outline of a teacher:\n\nOutline: "%s"\n\nRequirements:\n- Grade level: %s\n- Sections: at least %s\n- Learning style: reading\n- Include examples: yes\n- Include exercises: %s\n\nDeliver:\n1. A title as the only level-1 heading; it does not begin with the word "Generated"\n2. The learning objectives\n3. The content in level-2 sections\n4. A section "Key Concepts" with a list of the most important ideas, and a section "Prerequisites" with a list of what pupils should know before\n5. Where the ideas are used in life\n6. A summary and the next steps\n\nUse Markdown.' AS template;

-- ---- providers ----

CREATE TEMP TABLE demo_providers AS
SELECT p.provider, d.value ->> 'model' AS model, median_ms, sigma, dated, is_local,
       jsonb_build_object(d.value ->> 'max_tokens_name', 8192) || coalesce(d.value -> 'options', '{}') AS parameters
  FROM (VALUES ('gemini', 6200, 0.42, NULL, false), ('groq', 2600, 0.35, NULL, false),
               ('openai', 9800, 0.45, '-2026-08-14', false), ('anthropic', 11500, 0.40, '-20260901', false),
               ('qwen', 15500, 0.50, NULL, false), ('huggingface', 18000, 0.60, NULL, false),
               ('ollama', 42000, 0.45, NULL, true)) AS p (provider, median_ms, sigma, dated, is_local)
  JOIN jsonb_each(:'providers') AS d ON d.key = p.provider;

CREATE TEMP TABLE demo_prices AS
SELECT :'prices'::jsonb ->> 'as_of' AS as_of, r.provider, replace(replace(replace(r.model, '_', '\_'), '*', '%'), '?', '_') AS pattern,
       r.input_per_mtok, r.output_per_mtok, r.cached_input_per_mtok, n
  FROM ROWS FROM (jsonb_to_recordset(:'prices'::jsonb -> 'prices')
         AS (provider text, model text, input_per_mtok numeric, output_per_mtok numeric, cached_input_per_mtok numeric, until date))
         WITH ORDINALITY AS r (provider, model, input_per_mtok, output_per_mtok, cached_input_per_mtok, until, n);

-- What a teacher asks for, and whom the generator then may try, in order.
CREATE TEMP TABLE demo_asked AS
SELECT sum(share) OVER w - share AS low, sum(share) OVER w AS high, provider, model,
       array_remove(ARRAY[provider], NULL)
       || array_remove('{gemini,groq,openai,anthropic}'::text[], provider) AS chain
  FROM (VALUES (1, 0.62, NULL, NULL), (2, 0.08, 'groq', NULL), (3, 0.09, 'openai', NULL), (4, 0.03, 'openai', 'gpt-6-sol'),
               (5, 0.07, 'anthropic', NULL), (6, 0.02, 'anthropic', 'claude-sonnet-5'), (7, 0.05, 'qwen', NULL),
               (8, 0.02, 'huggingface', NULL), (9, 0.02, 'ollama', NULL)) AS a (n, share, provider, model)
WINDOW w AS (ORDER BY n);

-- ---- what happens ----

-- The calls of a generation: at which place of the chain, and how each ends; class null is an answer. A step without a
-- call skips the place.
CREATE TEMP TABLE demo_steps (story int, step int, place int, skipped boolean, class text, status int);
CREATE TEMP TABLE demo_stories (story int, share float8, low float8, high float8);
INSERT INTO demo_stories (story, share)
SELECT ordinality, share FROM unnest('{0,16,9,16,7,9,6,4,4,2,9,3,2,2,1.5,4,2,2,0.6}'::float8[]) WITH ORDINALITY AS s (share, ordinality);
UPDATE demo_stories SET low = s.low, high = s.low + s.part
  FROM (SELECT story, share / sum(share) OVER () AS part, (sum(share) OVER (ORDER BY story) - share) / sum(share) OVER () AS low FROM demo_stories) s
 WHERE s.story = demo_stories.story;
INSERT INTO demo_steps
SELECT story, row_number() OVER (PARTITION BY story ORDER BY ordinality), split_part(word, ':', 1)::int,
       split_part(word, ':', 2) = 'skip',
       nullif(nullif(split_part(word, ':', 2), 'ok'), 'skip'), nullif(split_part(word, ':', 3), '')::int
  FROM (VALUES (1, '1:ok:200'),
   (2, '1:rate_limited:429 2:ok:200'), (3, '1:rate_limited:429 1:ok:200'), (4, '1:server_error:503 1:ok:200'),
   (5, '1:server_error:503 1:server_error:503 1:server_error:500 2:ok:200'), (6, '1:timeout 2:ok:200'),
   (7, '1:connection 1:ok:200'), (8, '1:truncated:200 2:ok:200'), (9, '1:content_filtered:200 2:ok:200'),
   (10, '1:auth:401 2:ok:200'), (11, '1:skip 2:ok:200'),
   (12, '1:rate_limited:429 2:server_error:503 2:server_error:503 2:server_error:503 3:ok:200'),
   (13, '1:content_filtered:200 2:content_filtered:200 3:content_filtered:200 4:content_filtered:200 5:content_filtered:200'),
   (14, '1:server_error:503 1:server_error:503 1:server_error:503 2:rate_limited:429 3:timeout 4:server_error:500 4:server_error:500 4:server_error:500 5:auth:401'),
   (15, '1:connection 1:connection 1:connection 2:server_error:502 2:server_error:502 2:server_error:503 3:rate_limited:429 4:auth:401 5:quota:429'),
   (16, '1:invalid_response:200 1:invalid_response:200 2:ok:200'), (17, '1:quota:429 2:ok:200'), (18, '1:empty:200 2:ok:200'),
   (19, '1:truncated:200 2:truncated:200 3:truncated:200 4:truncated:200 5:truncated:200')) AS s (story, words),
       unnest(string_to_array(words, ' ')) WITH ORDINALITY AS w (word, ordinality);

CREATE TEMP TABLE demo_errors (class text PRIMARY KEY, error text);
INSERT INTO demo_errors VALUES
 ('rate_limited', 'HTTP 429, rate_limit_exceeded: Rate limit reached on requests per min (RPM). Please try again in 20s.'),
 ('server_error', 'HTTP %s, overloaded_error: The model is overloaded. Please try again later.'),
 ('timeout', 'no answer in time'), ('connection', 'Couldn''t connect to server'),
 ('truncated', 'cut at the token limit: length'), ('content_filtered', 'refused: content_filter'),
 ('auth', 'HTTP 401, invalid_api_key: Incorrect API key provided.'),
 ('quota', 'HTTP 429, insufficient_quota: You exceeded your current quota, please check your plan and billing details.'),
 ('invalid_response', 'choices[0].message: object expected'), ('empty', 'finished without text');

-- ---- when ----

-- How many traces each hour has: by day of the week and hour, growing, with troubled hours among them.
CREATE TEMP TABLE demo_hours AS
WITH hours AS (
    SELECT h, now() - make_interval(hours => :days * 24 - h) AS at FROM generate_series(0, :days * 24 - 1) AS h),
weighed AS (
    SELECT h, at,
           (ARRAY[.55,1,1.05,1.1,1,.9,.3])[1 + extract(dow FROM at)::int]
           * (ARRAY[.06,.04,.03,.03,.05,.15,.5,1.1,1.7,1.8,1.6,1.2,1,1.2,1.5,1.4,1.1,.9,1,1.2,1.1,.7,.35,.15])[1 + extract(hour FROM at)::int]
           * (0.7 + 0.6 * h / (:days * 24)) * (0.8 + 0.4 * pg_temp.u(h, 200)) AS weight
      FROM hours),
shared AS (
    SELECT h, at, floor(:count * sum(weight) OVER (ORDER BY h) / sum(weight) OVER () + 1e-6)::bigint AS last FROM weighed)
SELECT h, at, coalesce(lag(last) OVER (ORDER BY h), 0) + 1 AS first, last,
       CASE WHEN pg_temp.u(h / 3, 201) < 0.03 THEN 0.55 ELSE 0.13 END AS eventful
  FROM shared;
DELETE FROM demo_hours WHERE last < first;
CREATE INDEX ON demo_hours (first);

ANALYZE demo_languages, demo_bodies, demo_providers, demo_prices, demo_asked, demo_steps, demo_stories, demo_errors, demo_hours;
SET synchronous_commit = off;
SET work_mem = '64MB';
SET jit = off;

-- ---- rows ----

PREPARE demo_batch (bigint, bigint) AS
WITH chosen AS (
    SELECT n, h.at + make_interval(secs => 3600 * (n - h.first + pg_temp.u(n, 1)) / (h.last - h.first + 1)) AS at,
           CASE WHEN pg_temp.u(n, 2) < 0.7 THEN 'user' ELSE 'admin' END AS owner,
           CASE WHEN pg_temp.u(n, 3) >= h.eventful THEN 0 ELSE pg_temp.u(n, 3) / h.eventful END AS event,
           (SELECT language FROM (SELECT language, sum(share) OVER (ORDER BY language) AS high FROM demo_languages) l
             WHERE pg_temp.u(n, 4) < high ORDER BY language LIMIT 1) AS language
      FROM demo_hours h, generate_series(greatest(h.first, $1), least(h.last, $2)) AS n
     WHERE h.first <= $2 AND h.last >= $1),
named AS MATERIALIZED (
    SELECT c.*, a.provider AS asked, a.model AS asked_model, a.chain, b.body, b.concepts, b.prerequisites, b.sections AS made,
           coalesce(s.story, 1) AS story, 2 + floor(7 * pg_temp.u(n, 5))::int AS grade,
           4 + floor(5 * pg_temp.u(n, 6) ^ 2)::int AS sections, pg_temp.u(n, 7) < 0.8 AS exercises,
           l.topics[b.topic] || CASE WHEN c.language IN (6, 9) THEN '：' ELSE ': ' END
             || pg_temp.pick(l.angles, pg_temp.u(n, 8))
             || CASE WHEN pg_temp.u(n, 9) < 0.3
                     THEN format(' (%s%s)', 2 + floor(7 * pg_temp.u(n, 5))::int, pg_temp.pick('{a,b,c,d}', pg_temp.u(n, 10))) ELSE '' END AS name,
           (SELECT string_agg(E'\n- ' || replace(pg_temp.pick(l.sentences, pg_temp.u(n, 160 + note)), '{}', l.topics[b.topic]), '' ORDER BY note)
              FROM generate_series(1, 2 + floor(3 * pg_temp.u(n, 11))::int) AS note) AS notes,
           4 + floor(pg_temp.u(n, 12) * 60)::int AS queued_ms
      FROM chosen c
      JOIN demo_languages l USING (language)
      JOIN demo_bodies b ON b.language = c.language AND b.topic = 1 + floor(pg_temp.u(n, 13) * cardinality(l.topics))::int
                        AND b.variant = 1 + floor(pg_temp.u(n, 14) * 6)::int
      JOIN demo_asked a ON pg_temp.u(n, 15) >= a.low AND pg_temp.u(n, 15) < a.high
      LEFT JOIN demo_stories s ON c.event > s.low AND c.event <= s.high),
asked AS MATERIALIZED (SELECT *, name || notes AS outline FROM named),
steps AS (
    SELECT a.n, s.step, s.place, s.skipped, s.class, s.status, p.provider, p.parameters, p.dated, p.is_local,
           CASE WHEN s.place = 1 AND a.asked_model IS NOT NULL THEN a.asked_model ELSE p.model END AS model,
           CASE WHEN s.skipped THEN 0
                WHEN s.class = 'timeout' THEN CASE WHEN p.is_local THEN 300000 ELSE 180000 END + 2
                WHEN s.class = 'connection' THEN 1 + floor(40 * pg_temp.u(n, 20 + step))::int
                WHEN s.class IN ('rate_limited', 'auth', 'quota') THEN 80 + floor(300 * pg_temp.u(n, 20 + step))::int
                WHEN s.class = 'server_error' THEN 150 + floor(2800 * pg_temp.u(n, 20 + step) ^ 2)::int
                ELSE least(p.median_ms * exp(p.sigma * pg_temp.z(n, 30 + 2 * step))
                           * CASE WHEN pg_temp.u(n, 60 + step) < 0.02 THEN 4 ELSE 1 END
                           * CASE WHEN s.class = 'truncated' THEN 2.5 ELSE 1 END
                           * (0.7 + a.sections * 0.06), 179000)::int END AS duration_ms,
           lag(s.class) OVER w AS was_class, lag(s.place) OVER w AS was_place, lag(s.skipped) OVER w AS was_skipped,
           lead(s.place) OVER w AS next_place,
           count(*) FILTER (WHERE NOT s.skipped) OVER w AS attempt,
           count(*) FILTER (WHERE NOT s.skipped) OVER (PARTITION BY a.n, s.place ORDER BY s.step) AS try,
           a.language, a.body, a.name, a.outline, a.grade, a.sections, a.exercises, a.at, a.queued_ms
      FROM asked a
      JOIN demo_steps s ON s.story = a.story AND s.place <= cardinality(a.chain)
      JOIN demo_providers p ON p.provider = a.chain[s.place]
    WINDOW w AS (PARTITION BY a.n ORDER BY s.step)),
timed AS (
    SELECT s.*, CASE WHEN NOT skipped AND next_place = place THEN (500 * 2 ^ (try - 1) * (0.8 + 0.4 * pg_temp.u(n, 70 + step)))::int END AS wait_ms,
           CASE WHEN class IN ('truncated', 'content_filtered', 'empty') OR class IS NULL THEN 330 + octet_length(outline) / 3 END AS prompt_tokens,
           CASE WHEN class = 'truncated' THEN 8192 WHEN class IN ('content_filtered', 'empty') THEN 12
                WHEN class IS NULL THEN (octet_length(body) / 3.9 * (0.95 + 0.1 * pg_temp.u(n, 80 + step)))::int END AS completion_tokens,
           CASE WHEN provider = 'groq' AND pg_temp.u(n, 90 + step) < 0.3 THEN 256 ELSE 0 END AS cached_tokens
      FROM steps s),
placed AS (
    SELECT t.*, trim_scale(round(((prompt_tokens - cached_tokens) * x.input_per_mtok
                     + cached_tokens * coalesce(x.cached_input_per_mtok, x.input_per_mtok) + completion_tokens * x.output_per_mtok) / 1000000, 12)) AS cost_usd,
           CASE WHEN prompt_tokens IS NOT NULL THEN x.as_of END AS price_as_of,
           queued_ms + coalesce(sum(duration_ms + coalesce(wait_ms, 0) + 3)
                                  OVER (PARTITION BY t.n ORDER BY step ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS begin_ms
      FROM timed t
      LEFT JOIN LATERAL (SELECT * FROM demo_prices x WHERE x.provider = t.provider AND t.model LIKE x.pattern ORDER BY x.n LIMIT 1) x ON true),
ended AS (
    SELECT n, max(begin_ms + duration_ms) + 2 AS total_ms,
           least(min(at), now() - make_interval(secs => (max(begin_ms + duration_ms) + 100) / 1000.0)) AS created_at
      FROM placed GROUP BY n),
told AS (
    SELECT p.n, e.total_ms, e.created_at, p.step, p.place, p.skipped, p.provider, p.model, p.class, p.cost_usd, p.prompt_tokens, p.completion_tokens, p.status,
           replace(r.error, '%s', p.status::text) AS error,
           pg_temp.iso(e.created_at + make_interval(secs => begin_ms / 1000.0)) AS began,
           pg_temp.iso(e.created_at + make_interval(secs => (begin_ms + duration_ms) / 1000.0)) AS over,
           p.attempt, p.wait_ms, p.was_class, p.was_place, p.was_skipped, p.duration_ms, p.parameters, p.price_as_of, p.is_local,
           p.cached_tokens, p.outline, p.grade, p.sections, p.exercises, p.dated,
           CASE WHEN p.class IS NULL AND NOT p.skipped THEN E'# ' || p.name || E'\n\n' || p.body
                WHEN p.class = 'truncated' THEN left(E'# ' || p.name || E'\n\n' || p.body, 2500) END AS content
      FROM placed p JOIN ended e USING (n) LEFT JOIN demo_errors r ON r.class = p.class),
summed AS (
    SELECT t.n, min(total_ms)::int AS total_ms, min(created_at) AS created_at,
           jsonb_agg(jsonb_build_object(
             'provider', provider, 'attempt', attempt, 'timestamp', began, 'span_id', left(pg_temp.hex(n, 10 + step), 16),
             'duration_ms', duration_ms, 'success', class IS NULL, 'error', error, 'error_class', class, 'http_status', status,
             'provider_request_id', CASE WHEN status IS NOT NULL AND NOT is_local THEN 'req_' || left(pg_temp.hex(n, 30 + step), 24) END,
             'timing', jsonb_build_object(
               'queue_ms', floor(3 * pg_temp.u(n, 100 + step))::int,
               'dns_ms', CASE WHEN fresh AND NOT is_local THEN 1 + floor(24 * pg_temp.u(n, 110 + step) ^ 2)::int END,
               'connect_ms', CASE WHEN fresh THEN CASE WHEN is_local THEN 0 ELSE 2 + floor(30 * pg_temp.u(n, 120 + step))::int END END,
               'tls_ms', CASE WHEN fresh AND NOT is_local THEN 8 + floor(40 * pg_temp.u(n, 130 + step))::int END,
               'ttfb_ms', CASE WHEN status IS NOT NULL THEN greatest(duration_ms - floor(6 * pg_temp.u(n, 140 + step))::int, 1) END),
             'cost_usd', cost_usd, 'price_as_of', price_as_of,
             'request', jsonb_build_object('prompt', format(q.template, outline, grade, sections, CASE WHEN exercises THEN 'yes' ELSE 'no' END),
               'system', q.system, 'model', model, 'parameters', parameters, 'max_tokens', 8192),
             'response', CASE WHEN prompt_tokens IS NOT NULL THEN jsonb_build_object(
               'content', content, 'model', model || coalesce(dated, ''), 'id', 'resp_' || left(pg_temp.hex(n, 50 + step), 24),
               'finish_reason', CASE class WHEN 'truncated' THEN 'length' WHEN 'content_filtered' THEN 'content_filter' ELSE 'stop' END,
               'usage', jsonb_build_object('prompt_tokens', prompt_tokens, 'completion_tokens', completion_tokens,
                 'total_tokens', prompt_tokens + completion_tokens, 'cached_tokens', cached_tokens, 'reasoning_tokens', 0)) END)
             ORDER BY step) FILTER (WHERE NOT skipped) AS calls,
           sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens, sum(cost_usd) AS cost_usd,
           count(*) FILTER (WHERE NOT skipped) AS call_count,
           (array_agg(model ORDER BY step DESC))[1] AS model, (array_agg(over ORDER BY step DESC))[1] AS over,
           (array_agg(CASE WHEN class IS NULL THEN provider END ORDER BY step DESC))[1] AS provider_used,
           (array_agg(class ORDER BY step DESC) FILTER (WHERE class IS NOT NULL))[1] AS error_class,
           (array_agg(error ORDER BY step DESC) FILTER (WHERE class IS NOT NULL))[1] AS last_error,
           (array_agg(content ORDER BY step DESC))[1] AS content,
           string_agg(provider || ': ' || class || coalesce(' (HTTP ' || CASE WHEN status >= 400 THEN status END || ')', ''), '; ' ORDER BY step)
             FILTER (WHERE class IS NOT NULL) AS failures
      FROM (SELECT *, was_class IS DISTINCT FROM 'rate_limited' AND pg_temp.u(n, 150 + step) < 0.4 AS fresh FROM told) t, demo_prompt q
     GROUP BY t.n),
noted AS (
    SELECT t.n, jsonb_agg(jsonb_build_object('at', d.at, 'action', d.action, 'provider', provider, 'reason', d.reason, 'wait_ms', d.wait_ms) ORDER BY step, part) AS story_told
      FROM told t, LATERAL (
        SELECT 1 AS part, began AS at,
               CASE WHEN skipped THEN 'skip' WHEN was_place IS NULL OR was_skipped THEN 'try'
                    WHEN was_place = place THEN 'retry' ELSE 'fallback' END AS action,
               CASE WHEN skipped THEN 'breaker open' ELSE was_class END AS reason, NULL::int AS wait_ms
        UNION ALL SELECT 2, over, 'wait', class, t.wait_ms WHERE t.wait_ms IS NOT NULL) d
     GROUP BY t.n),
ready AS MATERIALIZED (
    SELECT *, pg_temp.uuid8(n, 1) AS lesson_id, provider_used IS NOT NULL AS generated,
           created_at + make_interval(secs => total_ms / 1000.0) AS completed_at,
           CASE WHEN provider_used IS NULL THEN 'every provider failed: ' || failures END AS error_message,
           CASE WHEN provider_used IS NULL THEN story_told || jsonb_build_object('at', over, 'action', 'give_up', 'provider', NULL,
                  'reason', 'every provider failed', 'wait_ms', NULL) ELSE story_told END AS decisions,
           jsonb_strip_nulls(jsonb_build_object('gradeLevel', grade::text, 'sections', sections, 'learningStyle', 'reading',
             'includeExamples', true, 'includeExercises', exercises, 'provider', asked, 'model', asked_model)) AS options
      FROM asked JOIN summed USING (n) JOIN noted USING (n)),
lesson AS (
    INSERT INTO lessons (id, owner, title, outline, options, content, status, error_message, created_at, updated_at)
    SELECT lesson_id, owner, CASE WHEN generated THEN name ELSE left(outline, 50) || CASE WHEN length(outline) > 50 THEN '…' ELSE '' END END,
           outline, options, CASE WHEN generated THEN content END, CASE WHEN generated THEN 'generated' ELSE 'error' END,
           error_message, created_at, completed_at
      FROM ready)
INSERT INTO lesson_traces (id, lesson_id, owner, request_id, request_data, response_data, provider_used, fallback_providers, total_duration_ms,
                           llm_calls, error_message, status, created_at, completed_at, model, prompt_tokens, completion_tokens, total_tokens,
                           cost_usd, llm_call_count, error_class, last_error, decisions)
SELECT pg_temp.uuid8(n, 2), lesson_id, owner, pg_temp.hex(n, 3), jsonb_build_object('outline', outline) || options,
       CASE WHEN generated THEN jsonb_build_object('title', name, 'content', content, 'estimatedSections', made, 'gradeLevel', grade::text,
         'keyConcepts', concepts, 'prerequisites', prerequisites) END,
       provider_used, trace_fallbacks(calls), total_ms, calls, error_message, CASE WHEN generated THEN 'completed' ELSE 'failed' END,
       created_at, completed_at, model, prompt_tokens, completion_tokens, prompt_tokens + completion_tokens, cost_usd, call_count,
       error_class, last_error, decisions
  FROM ready ORDER BY n;
