//! The platform database: what must outlive a process and be the same for all replicas.
