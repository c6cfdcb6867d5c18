//! The MCP methods of a service that has tools and nothing else: typed requests come in, typed results go out.

use std::sync::Arc;

use aperium_core::id::RequestId;
use rmcp::RoleServer;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestMethod, CompleteRequestParams,
    CompleteResult, CustomRequest, CustomResult, ErrorCode, ErrorData, Implementation, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams, ServerCapabilities,
    ServerConfig, Tool,
};
use rmcp::service::RequestContext;

use crate::service::Service;
use crate::service::admission::Leased;
use crate::service::call::{Ended, call};

/// How long a client may keep the list: as long as a gateway waits between two looks.
const LIST_TTL_MS: u64 = 5_000;

/// One per request; all of them share the service.
#[derive(Clone)]
pub(super) struct Handler {
    service: Arc<Service>,
}

impl Handler {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service }
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let info = self.service.connector.info();
        let identity = Implementation::new(format!("aperium-mcp-{}", info.module), env!("CARGO_PKG_VERSION"))
            .with_title(info.title)
            .with_description(info.description);
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build()).with_server_info(identity)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        // Everything fits one page, so no cursor was ever handed out.
        if request.is_some_and(|page| page.cursor.is_some()) {
            return Err(ErrorData::invalid_params("invalid cursor", None));
        }
        let tools = self.service.binding().catalog.listed().to_vec();
        Ok(ListToolsResult::with_all_items(tools).with_ttl_ms(LIST_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.service.binding().catalog.listed().iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let id = request_id(&context);
        let leased = leased(&context);
        let arguments = request.arguments.unwrap_or_default();
        let ended = tokio::select! {
            // The caller closed the connection: the upstream is let go within this poll.
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled", None)),
            ended = call(&self.service, &request.name, arguments, &id, leased.as_deref()) => ended,
        };
        match ended {
            Ended::Result(value) => Ok(CallToolResult::structured(value).into()),
            Ended::Failed(value) => Ok(CallToolResult::structured_error(value).into()),
            Ended::UnknownTool => {
                Err(ErrorData::invalid_params(format!("Unknown tool: {}", quoted(&request.name)), None))
            }
        }
    }

    // A service has tools only. Asking for the rest is no mistake of a client that looks around: it finds nothing.

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::default().with_ttl_ms(LIST_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::default().with_ttl_ms(LIST_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::default().with_ttl_ms(LIST_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    async fn complete(
        &self,
        _request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        // A method of ours ends up here when its parameters have the wrong shape. Since 2026-07-28, whose requests name
        // their version, there is no handshake and no ping.
        let known: &[&str] = if context.meta.protocol_version().is_some() {
            &["tools/call", "tools/list", "server/discover"]
        } else {
            &["tools/call", "tools/list", "initialize", "ping"]
        };
        if known.contains(&request.method.as_str()) {
            return Err(ErrorData::invalid_params(format!("the parameters of {} are malformed", request.method), None));
        }
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("unknown method {}", quoted(&request.method)), None))
    }
}

/// The id that the request id layer put beside the request.
fn request_id(context: &RequestContext<RoleServer>) -> RequestId {
    context
        .extensions
        .get::<http::request::Parts>()
        .and_then(|parts| parts.extensions.get::<RequestId>())
        .cloned()
        .unwrap_or_else(|| RequestId::accept(None))
}

/// The lease that the guard has verified for this call.
fn leased(context: &RequestContext<RoleServer>) -> Option<Arc<Leased>> {
    context.extensions.get::<http::request::Parts>().and_then(|parts| parts.extensions.get::<Arc<Leased>>()).cloned()
}

/// A name from outside, fit to be said back: short and without control characters.
fn quoted(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}
