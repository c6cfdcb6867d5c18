// Starts one issuer that others wrote, and says when it listens: `issuers.mjs <which> <port> <redirect> <client secret>`.
// People are whoever they say they are: `alice` has the e-mail alice@example.com, the group `sales` and the tenant `acme`.
import { OAuth2Server } from 'oauth2-mock-server';
import Provider from 'oidc-provider';

const [which, port, redirect, secret] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const AUDIENCE = 'https://mcp.example.com';
const about = (name) => ({
  email: `${name}@example.com`, email_verified: true, groups: ['sales'], org: 'acme',
});

function provider() {
  const code = { grant_types: ['authorization_code'], response_types: ['code'], redirect_uris: [redirect] };
  return new Provider(issuer, {
    clients: [
      { client_id: 'aperium-web', client_secret: secret, ...code },
      // An agent: it asks for tokens of the resource.
      { client_id: 'agent', token_endpoint_auth_method: 'none', application_type: 'native', ...code,
        redirect_uris: ['http://127.0.0.1/agent'] },
    ],
    claims: { openid: ['sub', 'groups', 'org'], email: ['email', 'email_verified'], profile: [] },
    // The claims are in the ID token, and not only where one asks for them once more.
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    cookies: { keys: ['of this test'] },
    findAccount: (_, id) => ({ accountId: id, claims: async () => ({ sub: id, ...about(id) }) }),
    extraTokenClaims: (_, token) => (token.accountId ? about(token.accountId) : undefined),
    features: {
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: 'mcp', audience: AUDIENCE, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
}

async function mock() {
  const server = new OAuth2Server();
  await server.issuer.keys.generate('RS256');
  server.issuer.url = issuer;
  server.service.on('beforeTokenSigning', (token) => {
    // An ID token has the client as its audience already; everything else is for the resource.
    const own = token.payload.aud === 'aperium-web' ? {} : { aud: AUDIENCE };
    Object.assign(token.payload, { sub: 'alice', ...about('alice') }, own);
  });
  // A new key beside the old one: tokens are signed with one after the other.
  process.on('SIGUSR2', async () => {
    await server.issuer.keys.generate('ES256');
    console.log('rotated');
  });
  await server.start(Number(port), '127.0.0.1');
}

if (which === 'oidc-provider') {
  await new Promise((ready) => { provider().listen(Number(port), '127.0.0.1', ready); });
} else {
  await mock();
}
console.log('listens');
