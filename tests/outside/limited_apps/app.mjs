// An endless history behind a rate limiter from npm: node app.mjs LIMITER PORT REQUESTS SECONDS.
// It runs where the limiters are installed. Each response is a line of its output: its status.
import { createRequire } from "node:module";

const require = createRequire(`${process.cwd()}/`);
const [limiter, port, requests, seconds] = process.argv.slice(2);
const max = Number(requests);
const windowMs = Number(seconds) * 1000;

function page(url) {
  const query = new URL(url, "http://x").searchParams;
  const number = Number(query.get("page")), limit = Number(query.get("limit"));
  const items = Array.from({ length: limit }, (_, index) => {
    const position = (number - 1) * limit + index;
    return {
      task_id: `img_${position}`, model: "seedream-4", source: "ark", status: "pending", credits_used: 6,
      created_at: new Date(1_770_000_000_000 - position * 1000).toISOString(),
      image_url: null, credits_refunded: null, completed_at: null,
    };
  });
  return { success: true, data: { items, page: number, limit }, request_id: "req_1" };
}

function withExpress(use) {
  const app = require("express")();
  app.use((_, response, next) => {
    response.on("finish", () => console.log(response.statusCode));
    next();
  });
  app.use(use);
  app.get("/{*path}", (request, response) => response.json(page(request.url)));
  app.listen(Number(port), "127.0.0.1");
}

async function withFastify(options) {
  const app = require("fastify")();
  app.addHook("onResponse", async (_, reply) => console.log(reply.statusCode));
  await app.register(require("@fastify/rate-limit"), { max, timeWindow: windowMs, ...options });
  app.get("/*", async (request) => page(request.url));
  await app.listen({ port: Number(port), host: "127.0.0.1" });
}

function expressRateLimit(options) {
  withExpress(require("express-rate-limit").rateLimit({ windowMs, limit: max, ...options }));
}

function flexible() {
  const { RateLimiterMemory } = require("rate-limiter-flexible");
  const memory = new RateLimiterMemory({ points: max, duration: Number(seconds) });
  withExpress((request, response, next) =>
    memory.consume(request.ip).then(() => next(), () => response.status(429).send("Too Many Requests")));
}

const LIMITERS = {
  none: () => withExpress((_request, _response, next) => next()),
  "express-rate-limit": () => expressRateLimit({}),
  "express-rate-limit draft-6": () => expressRateLimit({ standardHeaders: "draft-6", legacyHeaders: false }),
  "express-rate-limit draft-8": () => expressRateLimit({ standardHeaders: "draft-8", legacyHeaders: false }),
  fastify: () => withFastify({}),
  "fastify ban": () => withFastify({ ban: 2 }),
  "fastify exponentialBackoff": () => withFastify({ exponentialBackoff: true }),
  "rate-limiter-flexible": flexible,
};

LIMITERS[limiter]();
