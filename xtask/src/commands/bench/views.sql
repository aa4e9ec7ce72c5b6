CREATE VIEW delivered AS FROM '$dir/delivered.parquet';
CREATE VIEW expected AS FROM '$dir/expected.parquet';
