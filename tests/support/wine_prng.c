/* Wine 8 has no ProcessPrng, which libraries written in Rust ask for; Windows has had it since Windows 7. */
#include <windows.h>

#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T count) { return RtlGenRandom(data, (ULONG)count); }
