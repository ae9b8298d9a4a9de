/* One agent process, in a job that ends with this host, and the pipe that brings what it writes to the log. */
#include "launcher.h"

#include <stdio.h>
#include <wchar.h>

#define CHUNK 4096
#define COMMAND_PATIENCE (60 * 1000)

static DWORD WINAPI pump(void *output) {
  char bytes[CHUNK];
  DWORD count;
  while (ReadFile(output, bytes, CHUNK, &count, NULL) && count) log_bytes(bytes, count);
  CloseHandle(output);
  return 0;
}

static HANDLE new_job(void) {
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {
      .BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE};
  HANDLE job = CreateJobObjectW(NULL, NULL);
  if (job) SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
  return job;
}

/* A pipe whose end for the child is inherited, and whose own end is not. */
static BOOL new_pipe(HANDLE *own, HANDLE *theirs, BOOL they_read) {
  SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
  HANDLE *read = they_read ? theirs : own, *write = they_read ? own : theirs;
  return CreatePipe(read, write, &inherited, 0) && SetHandleInformation(*own, HANDLE_FLAG_INHERIT, 0);
}

static BOOL create(struct child *child, const wchar_t *command, HANDLE input, HANDLE output) {
  wchar_t program[PATH_ROOM], line[2 * PATH_ROOM];
  STARTUPINFOW start = {.cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES};
  PROCESS_INFORMATION made;
  DWORD length = GetModuleFileNameW(NULL, program, PATH_ROOM);
  if (!length || length >= PATH_ROOM) return FALSE;
  if (swprintf(line, sizeof line / sizeof *line, L"\"%ls\" %ls", program, command) < 0) return FALSE;
  start.hStdInput = input;
  start.hStdOutput = start.hStdError = output;
  if (!CreateProcessW(program, line, NULL, NULL, TRUE, CREATE_SUSPENDED | CREATE_NO_WINDOW, NULL, NULL, &start, &made))
    return FALSE;
  if (child->job) AssignProcessToJobObject(child->job, made.hProcess);
  ResumeThread(made.hThread);
  CloseHandle(made.hThread);
  child->process = made.hProcess;
  return TRUE;
}

BOOL child_start(struct child *child, const wchar_t *command) {
  HANDLE input = NULL, output = NULL, theirs_in = NULL, theirs_out = NULL;
  BOOL started = new_pipe(&input, &theirs_in, TRUE) && new_pipe(&output, &theirs_out, FALSE);
  *child = (struct child){.job = new_job(), .input = input};
  started = started && create(child, command, theirs_in, theirs_out);
  DWORD error = GetLastError();
  if (theirs_in) CloseHandle(theirs_in);
  if (theirs_out) CloseHandle(theirs_out);
  if (started) {
    child->pump = CreateThread(NULL, 0, pump, output, 0, NULL);
    return TRUE;
  }
  if (output) CloseHandle(output);
  child_close(child);
  SetLastError(error);
  return FALSE;
}

void child_stop(struct child *child, DWORD patience) {
  CloseHandle(child->input);
  child->input = NULL;
  if (WaitForSingleObject(child->process, patience) != WAIT_OBJECT_0) {
    log_line("the agent did not stop in time and is ended; milliseconds", patience);
    if (child->job) TerminateJobObject(child->job, 1);
    TerminateProcess(child->process, 1);
  }
  child_close(child);
}

void child_close(struct child *child) {
  if (child->input) CloseHandle(child->input);
  /* Ends whatever the agent left behind, and with it the last writer of the pipe. */
  if (child->job) CloseHandle(child->job);
  if (child->pump) {
    WaitForSingleObject(child->pump, 5000);
    CloseHandle(child->pump);
  }
  if (child->process) CloseHandle(child->process);
  *child = (struct child){0};
}

int run_logged(const wchar_t *command) {
  struct child child;
  DWORD code = EXIT_NO_CHILD;
  log_open();
  if (!child_start(&child, command)) return EXIT_NO_CHILD;
  WaitForSingleObject(child.process, COMMAND_PATIENCE);
  if (!GetExitCodeProcess(child.process, &code) || code == STILL_ACTIVE) code = EXIT_NO_CHILD;
  child_stop(&child, 0);
  return (int)code;
}
