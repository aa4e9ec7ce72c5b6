ALTER TABLE public.orders ADD COLUMN IF NOT EXISTS added text NOT NULL DEFAULT 'after the upgrade';
