-- psql -v publication=debezium_publication -f publication.sql
CREATE PUBLICATION :"publication" FOR TABLE public.orders, public.customers, public.documents;
