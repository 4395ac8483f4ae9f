#include "common/longbench/task_table.h"

namespace kvrecall {
namespace {

// LongBench's template of its multi-document question answering, to the byte.
constexpr std::string_view kMultiDocumentQa =
    "Answer the question based on the given passages. Only give me the answer "
    "and do not output any other words.\n\n"
    "The following are given passages.\n{context}\n\n"
    "Answer the question based on the given passages. Only give me the answer "
    "and do not output any other words.\n\n"
    "Question: {input}\nAnswer:";

// Ours. It does not end with the marker: the model writes the marker itself,
// after its reasoning.
constexpr std::string_view kMultiDocumentReasoning =
    "Answer the question based on the given passages. Reason step by step "
    "before you give the answer.\n\n"
    "The following are given passages.\n{context}\n\n"
    "Answer the question based on the given passages. First reason step by "
    "step: state each fact that you need, the passage that it comes from, and "
    "what follows from it. Then end with one line that starts with \"Answer:\" "
    "and gives only the answer, in as few words as possible.\n\n"
    "Question: {input}\nReasoning:";

// What the embedded model was trained on.
constexpr std::string_view kDemo =
    "Answer the question from the passages. Write each fact that you use, then "
    "the answer.\n\n{context}\n\nQuestion: {input}\nAnswer:";

// The templates of LongBench's own tasks are its config/dataset2prompt.json to
// the byte, misspellings included; lengths are its dataset2maxlen.json.
constexpr Task kTasks[] = {
    {.name = "narrativeqa",
     .dataset = "narrativeqa",
     .prompt_template =
         "You are given a story, which can be either a novel or a movie "
         "script, "
         "and a question. Answer the question asconcisely as you can, using a "
         "single phrase if possible. Do not provide any explanation.\n\n"
         "Story: {context}\n\n"
         "Now, answer the question based on the story asconcisely as you can, "
         "using a single phrase if possible. Do not provide any "
         "explanation.\n\n"
         "Question: {input}\n\n"
         "Answer:",
     .max_new_tokens = 128,
     .chat = true,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true},
    {.name = "qasper",
     .dataset = "qasper",
     .prompt_template =
         "You are given a scientific article and a question. Answer the "
         "question "
         "as concisely as you can, using a single phrase or sentence if "
         "possible. If the question cannot be answered based on the "
         "information "
         "in the article, write \"unanswerable\". If the question is a yes/no "
         "question, answer \"yes\", \"no\", or \"unanswerable\". Do not "
         "provide "
         "any explanation.\n\n"
         "Article: {context}\n\n"
         " Answer the question based on the above article as concisely as you "
         "can, using a single phrase or sentence if possible. If the question "
         "cannot be answered based on the information in the article, write "
         "\"unanswerable\". If the question is a yes/no question, answer "
         "\"yes\", \"no\", or \"unanswerable\". Do not provide any "
         "explanation.\n\n"
         "Question: {input}\n\n"
         "Answer:",
     .max_new_tokens = 128,
     .chat = true,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true,
     .in_longbench_e = true},
    {.name = "multifieldqa_en",
     .dataset = "multifieldqa_en",
     .prompt_template = "Read the following text and answer briefly.\n\n"
                        "{context}\n\n"
                        "Now, answer the following question based on the above "
                        "text, only give "
                        "me the answer and do not output any other words.\n\n"
                        "Question: {input}\n"
                        "Answer:",
     .max_new_tokens = 64,
     .chat = true,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true,
     .in_longbench_e = true},
    {.name = "multifieldqa_zh",
     .dataset = "multifieldqa_zh",
     .prompt_template = "阅读以下文字并用中文简短回答：\n\n"
                        "{context}\n\n"
                        "现在请基于上面的文章回答下面的问题，只告诉我答案，不要"
                        "输出任何其他字词。\n\n"
                        "问题：{input}\n"
                        "回答：",
     .max_new_tokens = 64,
     .chat = true,
     .metric = Metric::kQaF1Chinese,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true},
    {.name = "hotpotqa",
     .dataset = "hotpotqa",
     .prompt_template = kMultiDocumentQa,
     .max_new_tokens = 32,
     .chat = true,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true,
     .in_longbench_e = true},
    {.name = "2wikimqa",
     .dataset = "2wikimqa",
     .prompt_template = kMultiDocumentQa,
     .max_new_tokens = 32,
     .chat = true,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true,
     .in_longbench_e = true},
    {.name = "musique",
     .dataset = "musique",
     .prompt_template = kMultiDocumentQa,
     .max_new_tokens = 32,
     .chat = true,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true},
    {.name = "dureader",
     .dataset = "dureader",
     .prompt_template = "请基于给定的文章回答下述问题。\n\n"
                        "文章：{context}\n\n"
                        "请基于上述文章回答下面的问题。\n\n"
                        "问题：{input}\n"
                        "回答：",
     .max_new_tokens = 128,
     .chat = true,
     .metric = Metric::kRougeLChinese,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true},
    {.name = "gov_report",
     .dataset = "gov_report",
     .prompt_template =
         "You are given a report by a government agency. Write a one-page "
         "summary of the report.\n\n"
         "Report:\n"
         "{context}\n\n"
         "Now, write a one-page summary of the report.\n\n"
         "Summary:",
     .max_new_tokens = 512,
     .chat = true,
     .metric = Metric::kRougeL,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true,
     .in_longbench_e = true},
    {.name = "qmsum",
     .dataset = "qmsum",
     .prompt_template =
         "You are given a meeting transcript and a query containing a question "
         "or instruction. Answer the query in one or more sentences.\n\n"
         "Transcript:\n"
         "{context}\n\n"
         "Now, answer the query based on the above meeting transcript in one "
         "or "
         "more sentences.\n\n"
         "Query: {input}\n"
         "Answer:",
     .max_new_tokens = 512,
     .chat = true,
     .metric = Metric::kRougeL,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true},
    {.name = "multi_news",
     .dataset = "multi_news",
     .prompt_template =
         "You are given several news passages. Write a one-page summary of all "
         "news. \n\n"
         "News:\n"
         "{context}\n\n"
         "Now, write a one-page summary of all the news.\n\n"
         "Summary:",
     .max_new_tokens = 512,
     .chat = true,
     .metric = Metric::kRougeL,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true,
     .in_longbench_e = true},
    {.name = "vcsum",
     .dataset = "vcsum",
     .prompt_template =
         "下面有一段会议记录，请你阅读后，写一段总结，总结会议的内容。\n"
         "会议记录：\n"
         "{context}\n\n"
         "会议总结：",
     .max_new_tokens = 512,
     .chat = true,
     .metric = Metric::kRougeLChinese,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true},
    {.name = "trec",
     .dataset = "trec",
     .prompt_template =
         "Please determine the type of the question below. Here are some "
         "examples of questions.\n\n"
         "{context}\n"
         "{input}",
     .max_new_tokens = 64,
     .chat = false,
     .metric = Metric::kClassification,
     .answer_rule = AnswerRule::kFirstLine,
     .answer_marker = "",
     .is_longbench = true,
     .in_longbench_e = true},
    {.name = "triviaqa",
     .dataset = "triviaqa",
     .prompt_template =
         "Answer the question based on the given passage. Only give me the "
         "answer and do not output any other words. The following are some "
         "examples.\n\n"
         "{context}\n\n"
         "{input}",
     .max_new_tokens = 32,
     .chat = false,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kFirstLine,
     .answer_marker = "",
     .is_longbench = true,
     .in_longbench_e = true},
    {.name = "samsum",
     .dataset = "samsum",
     .prompt_template =
         "Summarize the dialogue into a few short sentences. The following are "
         "some examples.\n\n"
         "{context}\n\n"
         "{input}",
     .max_new_tokens = 128,
     .chat = false,
     .metric = Metric::kRougeL,
     .answer_rule = AnswerRule::kFirstLine,
     .answer_marker = "",
     .is_longbench = true,
     .in_longbench_e = true,
     .ends_at_newline = true},
    {.name = "lsht",
     .dataset = "lsht",
     .prompt_template = "请判断给定新闻的类别，下面是一些例子。\n\n"
                        "{context}\n"
                        "{input}",
     .max_new_tokens = 64,
     .chat = false,
     .metric = Metric::kClassification,
     .answer_rule = AnswerRule::kFirstLine,
     .answer_marker = "",
     .is_longbench = true},
    {.name = "passage_count",
     .dataset = "passage_count",
     .prompt_template =
         "There are some paragraphs below sourced from Wikipedia. Some of them "
         "may be duplicates. Please carefully read these paragraphs and "
         "determine how many unique paragraphs there are after removing "
         "duplicates. In other words, how many non-repeating paragraphs are "
         "there in total?\n\n"
         "{context}\n\n"
         "Please enter the final count of unique paragraphs after removing "
         "duplicates. The output format should only contain the number, such "
         "as "
         "1, 2, 3, and so on.\n\n"
         "The final answer is: ",
     .max_new_tokens = 32,
     .chat = true,
     .metric = Metric::kCount,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true,
     .in_longbench_e = true},
    {.name = "passage_retrieval_en",
     .dataset = "passage_retrieval_en",
     .prompt_template =
         "Here are 30 paragraphs from Wikipedia, along with an abstract. "
         "Please "
         "determine which paragraph the abstract is from.\n\n"
         "{context}\n\n"
         "The following is an abstract.\n\n"
         "{input}\n\n"
         "Please enter the number of the paragraph that the abstract is from. "
         "The answer format must be like \"Paragraph 1\", \"Paragraph 2\", "
         "etc.\n\n"
         "The answer is: ",
     .max_new_tokens = 32,
     .chat = true,
     .metric = Metric::kRetrieval,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true,
     .in_longbench_e = true},
    {.name = "passage_retrieval_zh",
     .dataset = "passage_retrieval_zh",
     .prompt_template = "以下是若干段落文字，以及其中一个段落的摘要。请确定给定"
                        "的摘要出自哪一段。\n\n"
                        "{context}\n\n"
                        "下面是一个摘要\n\n"
                        "{input}\n\n"
                        "请输入摘要所属段落的编号。答案格式必须是\"段落1\"，\""
                        "段落2\"等格式\n\n"
                        "答案是：",
     .max_new_tokens = 32,
     .chat = true,
     .metric = Metric::kRetrievalChinese,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true},
    {.name = "lcc",
     .dataset = "lcc",
     .prompt_template = "Please complete the code given below. \n"
                        "{context}Next line of code:\n",
     .max_new_tokens = 64,
     .chat = false,
     .metric = Metric::kCodeSimilarity,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true,
     .in_longbench_e = true},
    {.name = "repobench-p",
     .dataset = "repobench-p",
     .prompt_template = "Please complete the code given below. \n"
                        "{context}{input}Next line of code:\n",
     .max_new_tokens = 64,
     .chat = false,
     .metric = Metric::kCodeSimilarity,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true,
     .in_longbench_e = true},
    {.name = "hotpotqa_cot",
     .dataset = "hotpotqa",
     .prompt_template = kMultiDocumentReasoning,
     .max_new_tokens = 512,
     .chat = true,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kLastMarkedLine,
     .answer_marker = "Answer:",
     .is_longbench = false},
    {.name = "musique_cot",
     .dataset = "musique",
     .prompt_template = kMultiDocumentReasoning,
     .max_new_tokens = 512,
     .chat = true,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kLastMarkedLine,
     .answer_marker = "Answer:",
     .is_longbench = false},
    {.name = "demo",
     .dataset = "demo",
     .prompt_template = kDemo,
     .max_new_tokens = 96,
     .chat = true,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kFirstMarkedSentence,
     .answer_marker = "The answer is ",
     .is_longbench = false},
    {.name = kCustomTask,
     .dataset = kCustomTask,
     .prompt_template = kCustomTemplate,
     .max_new_tokens = 256,
     .chat = true,
     .metric = Metric::kNone,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = false},
};

}  // namespace

std::span<const Task> TaskTable() { return kTasks; }

}  // namespace kvrecall
