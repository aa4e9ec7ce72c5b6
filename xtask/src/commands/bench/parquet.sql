COPY delivered TO '$dir/delivered.parquet' (FORMAT parquet);
COPY expected TO '$dir/expected.parquet' (FORMAT parquet);
