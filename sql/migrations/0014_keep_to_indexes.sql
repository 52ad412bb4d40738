-- What requests and the generator look for has an index. A plan made while a table was empty would read it from end to end
-- ever after, with all that was deleted since it was vacuumed: so it was with the queue, which is empty or has thousands.
-- Where nothing else is possible a table is still read so. A session learns of it when it begins.
ALTER ROLE lesson_api SET enable_seqscan = off;
ALTER ROLE lesson_admin SET enable_seqscan = off;
ALTER ROLE lesson_worker SET enable_seqscan = off;
