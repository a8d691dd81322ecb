// Submit a run with the client that openapi-typescript made, and read it.
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

declare const process: { env: Record<string, string> };

const client = createClient<paths>({
  baseUrl: process.env.RUNLEDGER_URL,
  headers: { Authorization: `Bearer ${process.env.RUNLEDGER_API_KEY}` },
});
const { data, error } = await client.POST("/v1/runs", {
  body: { agentId: "agent_1", prompt: "Review the lease." },
  params: { header: { "Idempotency-Key": "typescript" } },
});
if (error) throw new Error(JSON.stringify(error));
const found = await client.GET("/v1/runs/{id}", { params: { path: { id: data.id } } });
console.log(found.data?.status, found.data?.prompt);
