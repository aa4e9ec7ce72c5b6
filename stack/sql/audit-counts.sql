-- Changes per table and operation.
SELECT tbl, op, count(*) FROM audit.changes GROUP BY tbl, op ORDER BY tbl, op;
