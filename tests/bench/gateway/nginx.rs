//! nginx as a plain reverse proxy with one worker: what a proxy costs that understands nothing of MCP.

use crate::target::Target;
use aperium_tests::ports;
use aperium_tests::process::Program;

/// Starts nginx before the upstream.
pub(crate) fn start(upstream: u16) -> Target {
    let folder = tempfile::tempdir().expect("a folder");
    let port = ports::free();
    let root = folder.path().display();
    let config = format!(
        "daemon off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;\n\
           uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
           upstream up {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}\n\
           server {{ listen 127.0.0.1:{port}; keepalive_requests 1000000000;\n\
             location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n"
    );
    let path = folder.path().join("nginx.conf");
    std::fs::write(&path, config).expect("the configuration");
    let process = Program::new("nginx", "taskset").args(["-c", "1", "nginx", "-c"]).arg(path).spawn();
    aperium_tests::wait::until_blocking("nginx listens", std::time::Duration::from_secs(10), || {
        folder.path().join("nginx.pid").exists().then_some(())
    });
    Target::proxy("nginx", port, process, folder)
}
