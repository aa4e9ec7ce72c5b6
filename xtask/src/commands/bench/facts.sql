-- What both sides of a run say, from the same files that `verify` reads.
-- A deletion need not have the version (REPLICA IDENTITY DEFAULT). Keys are not used again: it is the last of its key.
-- Keys of records about transactions are no numbers.
CREATE MACRO version(op, ver) AS if(op = 'd', 2147483647, ver);

CREATE TABLE delivered AS
SELECT topic, try_cast(key.id AS BIGINT) AS key, value.op AS op,
    version(op, coalesce(value.after.ver, value.before.ver)) AS ver, "partition", "offset"
FROM read_json('$consumed', format = 'newline_delimited', columns = {
    topic: 'VARCHAR', "partition": 'INTEGER', "offset": 'BIGINT', key: 'STRUCT(id VARCHAR)',
    value: 'STRUCT(op VARCHAR, before STRUCT(ver INTEGER), after STRUCT(ver INTEGER))'})
WHERE topic LIKE 'cdc.public.%' AND value IS NOT NULL;

CREATE TEMPORARY TABLE entries AS
FROM read_json('$ledger', format = 'newline_delimited', columns = {
    e: 'VARCHAR', tx: 'VARCHAR', "as": 'VARCHAR', keys: 'BIGINT[]', counts: 'INTEGER[]',
    changes: 'STRUCT("table" VARCHAR, op VARCHAR, ver INTEGER)[]'});

-- A change is expected when its transaction was committed and it touched a row.
CREATE TABLE expected AS
WITH committed AS (SELECT tx FROM entries WHERE e = 'ok' OR "as" = 'ok'),
    invoked AS (SELECT tx, changes FROM entries WHERE e = 'invoke'),
    returned AS (SELECT tx, keys, counts FROM entries WHERE e = 'returned'),
    changes AS (
        SELECT unnest(changes) AS change, unnest(keys) AS key, unnest(counts) AS count
        FROM committed JOIN invoked USING (tx) JOIN returned USING (tx))
SELECT 'cdc.' || change."table" AS topic, key, change.op AS op, version(op, change.ver) AS ver
FROM changes WHERE count > 0;
