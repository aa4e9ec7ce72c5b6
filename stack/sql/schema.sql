-- The captured tables. Keys come from sequences, so that a copy without them is found out;
-- REPLICA IDENTITY FULL puts the whole old row into updates and deletes; documents keep the default,
-- and a body that is always stored out of line: an update that leaves it alone does not send it.
CREATE TABLE IF NOT EXISTS public.customers (
    id         serial PRIMARY KEY,
    name       text NOT NULL,
    email      text NOT NULL,
    note       text,
    ver        int NOT NULL,
    change_id  bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS public.orders (
    id          serial PRIMARY KEY,
    customer_id int NOT NULL REFERENCES public.customers (id),
    amount      numeric(12, 2) NOT NULL,
    status      text NOT NULL,
    payload     text,
    ver         int NOT NULL,
    change_id   bigint NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);
-- The foreign key looks orders up when a customer is deleted.
CREATE INDEX IF NOT EXISTS orders_customer_id ON public.orders (customer_id);

CREATE TABLE IF NOT EXISTS public.documents (
    id         serial PRIMARY KEY,
    title      text NOT NULL,
    body       text,
    ver        int NOT NULL,
    change_id  bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE public.documents ALTER COLUMN body SET STORAGE EXTERNAL;

ALTER TABLE public.customers REPLICA IDENTITY FULL;
ALTER TABLE public.orders REPLICA IDENTITY FULL;

GRANT USAGE ON SCHEMA public TO app_writer, debezium;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.customers, public.orders, public.documents TO app_writer;
GRANT USAGE ON SEQUENCE public.customers_id_seq, public.orders_id_seq, public.documents_id_seq TO app_writer;
GRANT SELECT ON public.customers, public.orders, public.documents TO debezium;
