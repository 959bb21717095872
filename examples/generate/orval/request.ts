// Sends the requests of the generated functions: adds the server's address and the key.

const url = process.env.PARLOR_URL ?? 'http://localhost:8000';

export async function request<T>(path: string, options: RequestInit): Promise<T> {
  const headers = new Headers(options.headers);
  if (!headers.has('X-API-Key')) headers.set('X-API-Key', process.env.PARLOR_API_KEY ?? '');
  const response = await fetch(url + path, { ...options, headers });
  return { status: response.status, data: await response.json(), headers: response.headers } as T;
}
