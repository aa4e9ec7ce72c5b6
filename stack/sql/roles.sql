-- The roles of the rehearsal; their passwords are set by the tool and stand in no file.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'debezium') THEN
        CREATE ROLE debezium;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_writer') THEN
        CREATE ROLE app_writer;
    END IF;
END
$$;
ALTER ROLE debezium LOGIN REPLICATION;
