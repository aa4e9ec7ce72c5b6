-- Acknowledged, missing, repeated, out of order. A version that the snapshot saw later is not missing.
WITH snapshot AS (SELECT topic, key, max(ver) AS seen FROM delivered WHERE op = 'r' GROUP BY ALL),
    missing AS (
        SELECT expected.ver
        FROM expected ANTI JOIN delivered USING (topic, key, op, ver) LEFT JOIN snapshot USING (topic, key)
        WHERE seen IS NULL OR seen < expected.ver),
    copies AS (SELECT count(*) AS n FROM delivered GROUP BY topic, key, op, ver),
    steps AS (
        SELECT ver < lag(ver) OVER (PARTITION BY topic, key ORDER BY "partition", "offset") AS back
        FROM delivered)
SELECT (SELECT count(*) FROM expected), (SELECT count(*) FROM missing),
    (SELECT coalesce(sum(n - 1), 0) FROM copies), (SELECT count(*) FROM steps WHERE back);
